#include "model/model.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "model/types.h"

namespace dg {

namespace {

int32_t or_default(int32_t value, int32_t fallback) {
    return value == 0 ? fallback : value;
}

}  // namespace

const Model::Known Model::kKnown[DG_COMPONENT_COUNT] = {
    {"text_encoder", "text_encoder.", &Model::open_text},
    {"text_encoder_2", "text_encoder_2.", &Model::open_text},
    {"unet", "unet.", &Model::open_unet},
    {"vae_encoder", "vae.encoder.", &Model::open_vae},
    {"vae_decoder", "vae.decoder.", &Model::open_vae},
    {"controlnet", "controlnet.", &Model::open_control},
    {"upscaler", "upscaler.", &Model::open_upscaler},
    {"image_encoder", "image_encoder.", &Model::open_image_encoder},
    {"ip_adapter", "ip_adapter.", &Model::open_ip_adapter},
    {"detector", "detector.", &Model::open_detector},
};

Model::Model(const OpenParams& params)
    : source_(params.files, params.weights),
      config_(params.config),
      precision_{0, ""} {
    const Device& device = find_device(params.device);
    precision_           = choose_precision(params.precision, device);
    threads_             = params.threads > 0 ? params.threads : default_threads();
    flash_               = params.flash_attention;
    if (params.convolution < DG_CONV_AUTO || params.convolution > DG_CONV_DIRECT) {
        fail(DG_ERR_ARGUMENT, "convolution: %d is none of DG_CONV_*", params.convolution);
    }
    direct_convolution_  = params.convolution == DG_CONV_DIRECT;
    attention_bytes_     = params.attention_bytes;
    const int32_t wanted = params.components == 0 ? ~0 : params.components;
    bool any             = false;
    for (int index = 0; index < DG_COMPONENT_COUNT; index++) {
        const Known& known = kKnown[index];
        const bool taesd   = (index == kVaeEncoder && source_.has_prefix("taesd.encoder.")) ||
                           (index == kVaeDecoder && source_.has_prefix("taesd.decoder."));
        components_[index].present = taesd || source_.has_prefix(known.prefix);
        any                        = any || components_[index].present;
        if (components_[index].present && (index > kVaeDecoder || (wanted & (1 << index)))) {
            (this->*(taesd ? &Model::open_taesd : known.open))(index, params);
        }
    }
    if (!any) {
        fail(DG_ERR_MODEL, "%s: holds no UNet, text encoder or VAE of SDXL", source_.files()[0].path.c_str());
    }
    fill_kind();
    place_components(params);
    log(DG_LOG_INFO, "%s: %s on %s, %d threads: %s", source_.files()[0].path.c_str(),
        precision_.precision == DG_PRECISION_BF16 ? "BF16" : (precision_.precision == DG_PRECISION_F16 ? "F16" : "F32"),
        device.id.c_str(), threads_, precision_.reason.c_str());
}

Params& Model::prepare(int index, const std::string& device, int32_t type) {
    Component& component = components_[index];
    component.worker     = worker(device);
    component.params     = std::make_unique<Params>(source_, choose_types(precision_, type, component.worker->device()),
                                                    kKnown[index].name);
    return *component.params;
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
    if (axes != wrap_) {  // kept graphs were built for other axes
        compute_release();
        wrap_ = axes;
    }
}

Traits Model::traits(const Worker& worker) const {
    Traits t;
    t.exact              = precision_.precision == DG_PRECISION_EXACT;
    t.bf16               = precision_.precision == DG_PRECISION_BF16;
    t.cpu                = worker.cpu();
    t.attention_bytes    = attention_bytes_;
    t.flash_attention    = flash_ != DG_FLASH_OFF && (t.cpu || !t.exact);
    t.wrap               = wrap_;
    t.direct_convolution = !t.cpu && direct_convolution_;
    return t;
}

void Model::open_text(int which, const OpenParams& params) {
    const std::string prefix = kKnown[which].prefix;
    TextDims dims            = infer_text_dims(source_, prefix, or_default(config_.text_head_dim, 64));
    const int32_t act = or_default(which == 0 ? config_.text_encoder_quick_gelu : config_.text_encoder_2_quick_gelu,
                                   which == 0 ? 1 : 2);
    dims.quick_gelu = act == 1;
    Params& weights = prepare(which, params.device_text.empty() ? params.device : params.device_text, params.type_text);
    text_[which]    = std::make_unique<TextEncoder>(weights, prefix, dims);
}

void Model::open_unet(int index, const OpenParams& params) {
    UnetDims dims = infer_unet_dims(source_, kKnown[index].prefix);
    check_unet_dims(source_, dims);
    set_unet_config(&dims);
    unet_ = std::make_unique<Unet>(prepare(index, params.device, params.type_unet), dims);
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

void Model::open_vae(int index, const OpenParams& params) {
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
    Params& weights = prepare(index, params.device_vae.empty() ? params.device : params.device_vae, params.type_vae);
    if (index == kVaeEncoder) {
        vae_encoder_ = std::make_unique<VaeEncoder>(weights, vae_dims_);
    } else {
        vae_decoder_ = std::make_unique<VaeDecoder>(weights, vae_dims_);
    }
}

void Model::fill_kind() {
    if (t2i_ != nullptr || xs_ != nullptr) {
        kind_ = DG_KIND_CONTROLNET;
    } else if (control_ != nullptr) {
        kind_     = DG_KIND_CONTROLNET;
        size_ids_ = 6;  // SDXL base's
    } else if (upscaler_ != nullptr) {
        kind_ = DG_KIND_UPSCALER;
    } else if (detector_ != nullptr) {
        kind_ = DG_KIND_DETECTOR;
    } else if (image_encoder_ != nullptr) {
        kind_ = DG_KIND_IMAGE_ENCODER;
    } else if (ip_adapter_ != nullptr) {
        kind_ = DG_KIND_IP_ADAPTER;
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
        fail(DG_ERR_UNSUPPORTED, "%s: the model was opened without its %s%s", what, kKnown[index].name,
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
    out->kind      = kind_;
    out->precision = precision_.precision;
    out->threads   = threads_;
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
        out->unet_guidance_dim = unet_->dims.guidance;
        out->flash_attention   = traits(*components_[kUnet].worker).flash_attention ? 1 : 0;
    } else if (control_ != nullptr) {
        fill_unet_info(&out->unet, control_->dims.unet, size_ids_);
        out->flash_attention = traits(*components_[kControl].worker).flash_attention ? 1 : 0;
    }
    if (xs_ != nullptr) {
        fill_unet_info(&out->unet, xs_->dims.unet(), 0);
    }
    network_info(out);
    image_info(out);
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
}

}  // namespace dg
