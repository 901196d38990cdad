#include "model/model.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "model/types.h"

namespace dg {

namespace {

const char* const kComponentNames[DG_COMPONENT_COUNT] = {"text_encoder", "text_encoder_2", "unet",    "vae_encoder",
                                                         "vae_decoder",  "controlnet",     "upscaler"};

int32_t or_default(int32_t value, int32_t fallback) {
    return value == 0 ? fallback : value;
}

}  // namespace

Model::Model(const OpenParams& params) : config_(params.config), precision_{0, ""} {
    for (const OpenParams::File& file : params.files) {
        source_.add(file.path, file.role);
    }
    const Device& device = find_device(params.device);
    precision_           = choose_precision(params.precision, device);
    threads_             = params.threads > 0 ? params.threads : default_threads();
    flash_               = params.flash_attention;
    attention_bytes_     = params.attention_bytes;
    find_components();
    const int32_t wanted = params.components == 0 ? ~0 : params.components;
    if (components_[kText1].present && (wanted & DG_COMPONENT_TEXT_ENCODER)) {
        open_text(0, params);
    }
    if (components_[kText2].present && (wanted & DG_COMPONENT_TEXT_ENCODER_2)) {
        open_text(1, params);
    }
    if (components_[kUnet].present && (wanted & DG_COMPONENT_UNET)) {
        open_unet(params);
    }
    if (wanted & (DG_COMPONENT_VAE_ENCODER | DG_COMPONENT_VAE_DECODER)) {
        if (source_.has_prefix("taesd.")) {
            open_taesd(params);
        } else {
            open_vae(params);
        }
    }
    if (components_[kControl].present) {
        open_control(params);
    }
    if (components_[kUpscaler].present) {
        open_upscaler(params);
    }
    fill_kind();
    place_components(params);
    log(DG_LOG_INFO, "%s: %s on %s, %d threads: %s", source_.files()[0].path.c_str(),
        precision_.precision == DG_PRECISION_BF16 ? "BF16" : (precision_.precision == DG_PRECISION_F16 ? "F16" : "F32"),
        device.id.c_str(), threads_, precision_.reason.c_str());
}

void Model::find_components() {
    components_[kText1].present      = source_.has_prefix("text_encoder.");
    components_[kText2].present      = source_.has_prefix("text_encoder_2.");
    components_[kUnet].present       = source_.has_prefix("unet.");
    components_[kVaeEncoder].present = source_.has_prefix("vae.encoder.");
    components_[kVaeDecoder].present = source_.has_prefix("vae.decoder.");
    components_[kControl].present    = source_.has_prefix("controlnet.");
    components_[kUpscaler].present   = source_.has_prefix("upscaler.");
    if (source_.has_prefix("taesd.")) {
        components_[kVaeEncoder].present = TaesdHalf::present(source_, TaesdHalf::Side::Encoder);
        components_[kVaeDecoder].present = TaesdHalf::present(source_, TaesdHalf::Side::Decoder);
    }
    for (const Component& component : components_) {
        if (component.present) {
            return;
        }
    }
    const std::string path = source_.files().empty() ? "" : source_.files()[0].path;
    const std::string name = source_.unmapped().empty() ? "" : source_.unmapped()[0];
    fail(DG_ERR_MODEL, "%s: holds no UNet, text encoder or VAE of SDXL; its tensors are named like '%s'", path.c_str(),
         name.c_str());
}

std::shared_ptr<Worker> Model::worker(const std::string& name) {
    const Device& device = find_device(name);
    for (const auto& w : workers_) {
        if (w->device().id == device.id) {
            return w;
        }
    }
    workers_.push_back(std::make_shared<Worker>(device, threads_, &cancel_));
    return workers_.back();
}

void Model::set_wrap(int32_t axes) {
    if ((axes & ~(DG_WRAP_X | DG_WRAP_Y)) != 0) {
        fail(DG_ERR_ARGUMENT, "axes: %d are no DG_WRAP_* bits", axes);
    }
    if (axes != wrap_) {  // graphs that are kept were built for others
        compute_release();
        wrap_ = axes;
    }
}

Traits Model::traits(const Worker& worker) const {
    Traits t;
    t.exact           = precision_.precision == DG_PRECISION_EXACT;
    t.bf16            = precision_.precision == DG_PRECISION_BF16;
    t.cpu             = worker.cpu();
    t.attention_bytes = attention_bytes_;
    t.flash_attention = flash_ != DG_FLASH_OFF && (t.cpu || !t.exact);
    t.wrap            = wrap_;
    return t;
}

void Model::open_text(int which, const OpenParams& params) {
    const std::string prefix = which == 0 ? "text_encoder." : "text_encoder_2.";
    Component& component     = components_[which];
    component.worker         = worker(params.device_text.empty() ? params.device : params.device_text);
    const TypePolicy policy  = choose_types(precision_, params.type_text, component.worker->device());
    TextDims dims            = infer_text_dims(source_, prefix, or_default(config_.text_head_dim, 64));
    const int32_t act = or_default(which == 0 ? config_.text_encoder_quick_gelu : config_.text_encoder_2_quick_gelu,
                                   which == 0 ? 1 : 2);
    dims.quick_gelu  = act == 1;
    component.params = std::make_unique<Params>(source_, policy, kComponentNames[which]);
    text_[which]     = std::make_unique<TextEncoder>(*component.params, prefix, dims);
}

void Model::open_unet(const OpenParams& params) {
    Component& component    = components_[kUnet];
    component.worker        = worker(params.device);
    const TypePolicy policy = choose_types(precision_, params.type_unet, component.worker->device());
    UnetDims dims           = infer_unet_dims(source_);
    set_unet_config(&dims);
    component.params = std::make_unique<Params>(source_, policy, kComponentNames[kUnet]);
    unet_            = std::make_unique<Unet>(*component.params, dims);
}

void Model::set_unet_config(UnetDims* dims) const {
    dims->groups   = or_default(config_.unet_norm_num_groups, 32);
    dims->head_dim = or_default(config_.unet_attention_head_dim, 64);
    for (const int64_t c : dims->channels) {
        if (c % dims->groups != 0) {
            fail(DG_ERR_MODEL, "%s: %s%lld channels cannot be divided into %d groups (norm_num_groups)",
                 source_.path_of(dims->prefix + "conv_in.weight").c_str(), dims->prefix.c_str(),
                 static_cast<long long>(c), dims->groups);
        }
    }
}

void Model::open_vae(const OpenParams& params) {
    if (!components_[kVaeEncoder].present && !components_[kVaeDecoder].present) {
        return;
    }
    vae_dims_        = infer_vae_dims(source_);
    vae_dims_.groups = or_default(config_.vae_norm_num_groups, 32);
    for (const auto* channels : {&vae_dims_.encoder, &vae_dims_.decoder}) {
        for (const int64_t c : *channels) {
            if (c % vae_dims_.groups != 0) {
                fail(DG_ERR_MODEL, "%s: vae: %lld channels cannot be divided into %d groups (norm_num_groups)",
                     source_.path_of("vae.decoder.conv_in.weight").c_str(), static_cast<long long>(c),
                     vae_dims_.groups);
            }
        }
    }
    const int32_t wanted = params.components == 0 ? ~0 : params.components;
    for (const int index : {kVaeEncoder, kVaeDecoder}) {
        Component& component = components_[index];
        if (!component.present || !(wanted & (1 << index))) {
            continue;
        }
        component.worker        = worker(params.device_vae.empty() ? params.device : params.device_vae);
        const TypePolicy policy = choose_types(precision_, params.type_vae, component.worker->device());
        component.params        = std::make_unique<Params>(source_, policy, kComponentNames[index]);
        if (index == kVaeEncoder) {
            vae_encoder_ = std::make_unique<VaeEncoder>(*component.params, vae_dims_);
        } else {
            vae_decoder_ = std::make_unique<VaeDecoder>(*component.params, vae_dims_);
        }
    }
}

void Model::fill_kind() {
    if (control_ != nullptr) {
        kind_     = DG_KIND_CONTROLNET;
        size_ids_ = 6;  // SDXL base's
    } else if (upscaler_ != nullptr) {
        kind_ = DG_KIND_UPSCALER;
    } else if (taesd_encoder_ != nullptr || taesd_decoder_ != nullptr) {
        kind_ = DG_KIND_TAESD;
    } else if (unet_ != nullptr) {
        const int64_t label = unet_->dims.label;
        int64_t pooled      = 0;
        if (text_[1] != nullptr) {
            pooled = text_[1]->dims.projection;
        }
        if (pooled > 0 && label > pooled && (label - pooled) % kSizeEmbedding == 0) {
            size_ids_ = (label - pooled) / kSizeEmbedding;
        } else {
            size_ids_ = label == 1280 + 5 * kSizeEmbedding ? 5 : 6;
        }
        if (label <= size_ids_ * kSizeEmbedding || (size_ids_ != 5 && size_ids_ != 6)) {
            fail(DG_ERR_MODEL,
                 "%s: the UNet's label embedding takes %lld values: not the pooled text and size ids of SDXL",
                 source_.path_of("unet.add_embedding.linear_1.weight").c_str(), static_cast<long long>(label));
        }
        if (unet_->dims.in_channels == 9) {
            kind_ = DG_KIND_SDXL_INPAINT;
        } else {
            kind_ = size_ids_ == 5 ? DG_KIND_SDXL_REFINER : DG_KIND_SDXL_BASE;
        }
    } else if (vae_encoder_ != nullptr || vae_decoder_ != nullptr) {
        kind_ = DG_KIND_VAE;
    } else {
        kind_ = DG_KIND_TEXT_ENCODER;
    }
}

void Model::require(int index, const char* what) const {
    if (components_[index].params == nullptr) {
        fail(DG_ERR_UNSUPPORTED, "%s: the model was opened without its %s%s", what, kComponentNames[index],
             components_[index].present ? "" : ", which its files do not hold");
    }
}

static void copy_text(char* out, size_t size, const std::string& text) {
    const size_t n = std::min(size - 1, text.size());
    std::copy(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(n), out);
    out[n] = '\0';
}

static void fill_text_info(dg_text_info* out, const TextDims& d) {
    out->vocab_size     = d.vocab;
    out->width          = d.width;
    out->layers         = d.layers;
    out->heads          = d.heads;
    out->projection_dim = d.projection;
    out->max_tokens     = d.tokens;
}

static void fill_unet_info(dg_unet_info* out, const UnetDims& d, int64_t size_ids) {
    out->in_channels    = d.in_channels;
    out->out_channels   = d.out_channels;
    out->model_channels = d.model_channels();
    out->context_dim    = d.context;
    out->label_dim      = d.label;
    out->size_ids       = size_ids;
    out->pooled_dim     = d.label - size_ids * kSizeEmbedding;
    out->levels         = static_cast<int64_t>(d.channels.size());
    for (size_t l = 0; l < d.channels.size(); l++) {
        out->channels[l]          = d.channels[l];
        out->resnets[l]           = d.down_resnets[l];
        out->transformer_depth[l] = *std::max_element(d.down_depth[l].begin(), d.down_depth[l].end());
    }
    out->middle_depth    = d.mid_depth;
    out->head_dim        = d.head_dim;
    out->norm_num_groups = d.groups;
}

void Model::info(dg_model_info* out) const {
    out->kind              = kind_;
    out->layout            = source_.layout();
    out->precision         = precision_.precision;
    out->threads           = threads_;
    out->v_prediction      = source_.has_marker("v_pred") ? 1 : 0;
    out->zero_terminal_snr = source_.has_marker("ztsnr") ? 1 : 0;
    copy_text(out->precision_reason, sizeof(out->precision_reason), precision_.reason);
    for (int i = 0; i < DG_COMPONENT_COUNT; i++) {
        const Component& c    = components_[i];
        dg_component_info& to = out->components[i];
        to.struct_size        = sizeof(dg_component_info);
        to.present            = c.present ? 1 : 0;
        to.loaded             = c.params != nullptr ? 1 : 0;
        if (c.params != nullptr) {
            to.file_type       = from_ggml_type(c.params->main_file_type());
            to.type            = from_ggml_type(c.params->main_type());
            to.tensor_count    = c.params->tensor_count();
            to.parameter_count = c.params->parameter_count();
            to.parameter_bytes = c.params->parameter_bytes();
            copy_text(to.device, sizeof(to.device), c.worker->device().id);
        }
    }
    out->text_encoder.struct_size   = sizeof(dg_text_info);
    out->text_encoder_2.struct_size = sizeof(dg_text_info);
    out->unet.struct_size           = sizeof(dg_unet_info);
    out->vae.struct_size            = sizeof(dg_vae_info);
    if (text_[0] != nullptr) {
        fill_text_info(&out->text_encoder, text_[0]->dims);
    }
    if (text_[1] != nullptr) {
        fill_text_info(&out->text_encoder_2, text_[1]->dims);
    }
    if (unet_ != nullptr) {
        fill_unet_info(&out->unet, unet_->dims, size_ids_);
        out->flash_attention = traits(*components_[kUnet].worker).flash_attention ? 1 : 0;
    } else if (control_ != nullptr) {
        fill_unet_info(&out->unet, control_->dims.unet, size_ids_);
        out->flash_attention = traits(*components_[kControl].worker).flash_attention ? 1 : 0;
    }
    network_info(out);
    if (vae_dims_.latent > 0) {
        out->vae.latent_channels = vae_dims_.latent;
        out->vae.levels          = static_cast<int64_t>(std::max(vae_dims_.encoder.size(), vae_dims_.decoder.size()));
        std::copy(vae_dims_.encoder.begin(), vae_dims_.encoder.end(), out->vae.encoder_channels);
        std::copy(vae_dims_.decoder.begin(), vae_dims_.decoder.end(), out->vae.decoder_channels);
        out->vae.encoder_resnets = vae_dims_.encoder_resnets;
        out->vae.decoder_resnets = vae_dims_.decoder_resnets;
        out->vae.downscale       = vae_dims_.downscale();
        out->vae.norm_num_groups = vae_dims_.groups;
    }
    out->unused_tensor_count = static_cast<int64_t>(source_.unmapped().size());
    if (!source_.unmapped().empty()) {
        copy_text(out->unused_tensor_example, sizeof(out->unused_tensor_example), source_.unmapped()[0]);
    }
}

}  // namespace dg
