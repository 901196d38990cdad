// The networks that are not part of SDXL: ControlNets, TAESD, ESRGAN, YOLOv8. Each is opened as a Model of its own.

#include <algorithm>
#include <optional>
#include <vector>

#include "model/compute_common.h"
#include "model/contexts.h"
#include "model/model.h"
#include "model/region_texts.h"

namespace dg {

namespace {

// TAESD gives no distribution. It reports the smallest log-variance that diffusers' sampling allows.
constexpr float kNoVariance = -30.0f;

int64_t elements(const ResidualShape& s) {
    return s.channels * s.height * s.width;
}

}  // namespace

void Model::open_control(int index, const OpenParams& params) {
    if (is_t2i_adapter(source_)) {
        t2i_ = std::make_unique<T2iAdapter>(prepare(index, params.device, params.type_unet), infer_t2i_dims(source_));
        return;
    }
    if (is_control_xs(source_)) {
        open_xs(index, params);
        return;
    }
    ControlDims dims = infer_control_dims(source_);
    set_unet_config(&dims.unet);
    control_ = std::make_unique<ControlNet>(prepare(index, params.device, params.type_unet), dims);
}

void Model::open_taesd(int index, const OpenParams& params) {
    const bool encoder = index == kVaeEncoder;
    Params& weights    = prepare(index, params.device_vae.empty() ? params.device : params.device_vae, params.type_vae);
    auto half =
        std::make_unique<TaesdHalf>(source_, weights, encoder ? TaesdHalf::Side::Encoder : TaesdHalf::Side::Decoder);
    if (half->levels() > DG_MAX_LEVELS) {
        fail(DG_ERR_MODEL, "%s: an autoencoder with more than %d levels is not supported",
             source_.files()[0].path.c_str(), DG_MAX_LEVELS);
    }
    const size_t other = (encoder ? vae_dims_.decoder : vae_dims_.encoder).size();
    if (other > 0 && other != static_cast<size_t>(half->levels())) {
        fail(DG_ERR_MODEL, "%s: an autoencoder of %zu and %d levels is incomplete", source_.files()[0].path.c_str(),
             other, static_cast<int>(half->levels()));
    }
    (encoder ? vae_dims_.encoder : vae_dims_.decoder).assign(static_cast<size_t>(half->levels()), half->width());
    vae_dims_.latent                            = half->latent_channels();
    (encoder ? taesd_encoder_ : taesd_decoder_) = std::move(half);
}

void Model::open_upscaler(int index, const OpenParams& params) {
    upscaler_ = std::make_unique<Esrgan>(prepare(index, params.device, params.type_unet), infer_esrgan_dims(source_));
}

void Model::open_detector(int index, const OpenParams& params) {
    detector_ = std::make_unique<Yolo>(prepare(index, params.device, params.type_unet), infer_yolo_dims(source_));
}

void Model::network_info(dg_model_info* out) const {
    out->control.struct_size  = sizeof(dg_control_info);
    out->upscaler.struct_size = sizeof(dg_upscaler_info);
    out->detector.struct_size = sizeof(dg_detector_info);
    if (detector_ != nullptr) {
        out->detector.classes  = detector_->dims.classes;
        out->detector.bins     = detector_->dims.bins;
        out->detector.multiple = detector_->dims.multiple();
    }
    if (control_ != nullptr) {
        out->control.hint_channels  = control_->dims.hint_channels;
        out->control.hint_downscale = control_->dims.hint_downscale();
        out->control.control_types  = control_->dims.types;
    }
    if (xs_ != nullptr) {
        out->control.hint_channels  = xs_->dims.hint_channels;
        out->control.hint_downscale = xs_->dims.hint_downscale();
        out->control.xs_channels    = xs_->dims.channels[0];
    }
    if (t2i_ != nullptr) {
        const T2iDims& d            = t2i_->dims;
        out->control.hint_channels  = d.picture_channels;
        out->control.hint_downscale = d.downscale;
        out->control.features       = static_cast<int64_t>(d.channels.size());
        for (size_t i = 0; i < d.channels.size(); i++) {
            out->control.feature_channels[i]  = d.channels[i];
            out->control.feature_downscale[i] = t2i_->scale(i);
        }
    }
    if (upscaler_ != nullptr) {
        out->upscaler.scale    = upscaler_->dims.scale();
        out->upscaler.channels = upscaler_->dims.channels;
        out->upscaler.blocks   = upscaler_->dims.blocks;
        out->upscaler.multiple = upscaler_->dims.unshuffle;
    }
}

size_t Model::residual_count(int64_t rows, int64_t height, int64_t width) const {
    if (control_ == nullptr) {
        require(kUnet, "residual_count");
    }
    check_range("rows", rows, 1, kMaxBatch);
    check_range("height", height, 1, kMaxSide);
    check_range("width", width, 1, kMaxSide);
    int64_t count = 0;
    for (const ResidualShape& s :
         residual_shapes(control_ != nullptr ? control_->dims.unet : unet_->dims, height, width)) {
        count += elements(s);
    }
    return static_cast<size_t>(rows * count);
}

std::unique_ptr<Residuals> Model::new_residuals(int64_t rows, int64_t height, int64_t width) {
    require(kUnet, "residuals");
    check_range("rows", rows, 1, kMaxBatch);
    check_range("height", height, 1, kMaxSide);
    check_range("width", width, 1, kMaxSide);
    return std::make_unique<Residuals>(*components_[kUnet].worker, &memory_, unet_->dims, rows, height, width);
}

void Model::check_residuals(const Residuals& residuals, int index, const UnetDims& dims, int64_t rows, int64_t height,
                            int64_t width) const {
    const Device& device = components_[index].worker->device();
    if (residuals.device().id != device.id) {
        fail(DG_ERR_ARGUMENT, "on_device: the residuals are on %s, and the network is on %s",
             residuals.device().id.c_str(), device.id.c_str());
    }
    if (residuals.rows() != rows || !residuals.fits(residual_shapes(dims, height, width))) {
        fail(DG_ERR_ARGUMENT, "on_device: the residuals are not of %lld rows of %lld x %lld cells",
             static_cast<long long>(rows), static_cast<long long>(width), static_cast<long long>(height));
    }
}

BuildFunction Model::control_graph(int64_t batch, int64_t height, int64_t width, int64_t tokens, int64_t texts,
                                   int64_t hints, const std::vector<int32_t>& kinds, const TextRegionShape& regions,
                                   const Residuals* on_device, int64_t first) const {
    const ControlNet* net = control_.get();
    return [=](GraphBuilder& g) {
        const UnetDims& d = net->dims.unet;
        ControlNet::Inputs in;
        in.sample = g.input(GGML_TYPE_F32, width, height, d.in_channels, batch);
        in.time   = g.input(GGML_TYPE_F32, d.model_channels(), batch);
        std::optional<TextRegions> parts;
        if (d.context > 0) {
            in.context = Contexts::declare(g, d.context, tokens, texts, batch, regions.texts());
            if (regions.more > 0) {
                in.context.regions = &parts.emplace(g, regions);
            }
        }
        in.label = g.input(GGML_TYPE_F32, d.label, batch);
        in.hint  = g.input(GGML_TYPE_F32, width, height, d.model_channels(), hints);
        in.types = net->dims.types > 0 ? g.input(GGML_TYPE_F32, kSizeEmbedding * net->dims.types) : nullptr;
        in.kinds = kinds;
        if (kinds.size() > 1) {
            in.weights = g.input(GGML_TYPE_F32, static_cast<int64_t>(kinds.size()));
        }
        const std::vector<ggml_tensor*> residuals = net->build(g, in);
        if (on_device == nullptr) {
            for (ggml_tensor* residual : residuals) {
                g.output(residual);
            }
            return;
        }
        const std::vector<ggml_tensor*> sums = on_device->rows_of(g, first, batch);
        ggml_tensor* scales                  = g.input(GGML_TYPE_F32, static_cast<int64_t>(sums.size()));
        for (size_t i = 0; i < sums.size(); i++) {
            ggml_tensor* scale = ggml_view_1d(g.ctx, scales, 1, i * sizeof(float));
            g.effect(ggml_add_inplace(g.ctx, sums[i], ggml_mul(g.ctx, residuals[i], scale)));
        }
    };
}

// The kinds of the hints: none of an ordinary net.
std::vector<int32_t> Model::control_kinds(const dg_control_input& in) const {
    const int64_t types = control_->dims.types;
    check_range("control_type", in.control_type, 0, std::max<int64_t>(types - 1, 0));
    check_range("kind_count", in.kind_count, 0, types > 0 ? kMaxBatch : 0);
    if (in.kind_count == 0) {
        return {in.control_type};
    }
    check_pointer("kinds", in.kinds);
    check_pointer("kind_weights", in.kind_weights);
    if (in.kind_count == 1 || in.control_type != 0) {
        fail(DG_ERR_ARGUMENT, "kinds: there are 2 or more, and no control_type");
    }
    for (int64_t i = 0; i < in.kind_count; i++) {
        check_range("kinds", in.kinds[i], 0, types - 1);
    }
    return {in.kinds, in.kinds + in.kind_count};
}

void Model::control_eval(const dg_control_input& in, const Residuals* on_device, float* residuals, size_t count) {
    use(kControl, "control_eval");
    if (control_ == nullptr) {
        fail(DG_ERR_UNSUPPORTED, "control_eval: a T2I-Adapter or a ControlNet-XS is not evaluated by itself");
    }
    const ControlDims& d = control_->dims;
    check_range("batch", in.batch, 1, kMaxBatch);
    check_range("height", in.height, 1, kMaxSide);
    check_range("width", in.width, 1, kMaxSide);
    check_range("context_tokens", in.context_tokens, 1, kMaxTokens);
    check_range("residual_rows", in.residual_rows, in.batch, kMaxBatch);
    check_range("first_row", in.first_row, 0, in.residual_rows - in.batch);
    const std::vector<int32_t> kinds = control_kinds(in);
    const bool several               = kinds.size() > 1;
    if (several ? in.hint_batch != in.kind_count : in.hint_batch != 1 && in.hint_batch != in.batch) {
        fail(DG_ERR_ARGUMENT, "hint_batch: %lld is neither 1 nor the batch of %lld",
             static_cast<long long>(in.hint_batch), static_cast<long long>(in.batch));
    }
    for (const auto& [field, pointer] : {std::pair<const char*, const float*>{"sample", in.sample},
                                         {"timesteps", in.timesteps},
                                         {"context", in.context},
                                         {"pooled", in.pooled},
                                         {"size_ids", in.size_ids},
                                         {"hint", in.hint},
                                         {"scales", in.scales}}) {
        check_pointer(field, pointer);
    }
    const std::vector<ResidualShape> shapes = residual_shapes(d.unet, in.height, in.width);
    check_count("scales", static_cast<size_t>(in.scale_count), static_cast<int64_t>(shapes.size()));
    if (on_device != nullptr) {
        check_residuals(*on_device, kControl, d.unet, in.residual_rows, in.height, in.width);
        check_count("residuals", count, 0);
    } else {
        check_pointer("residuals", residuals);
        check_count("residuals", count, static_cast<int64_t>(residual_count(in.residual_rows, in.height, in.width)));
    }

    const int64_t n = in.batch;
    std::vector<float> time, label, types;
    embed_conditioning(d.unet, n, in.timesteps, in.pooled, in.size_ids, &time, &label);
    std::vector<HostInput> inputs{input_of(in.sample, n * d.unet.in_channels * in.height * in.width), input_of(time)};
    const int64_t floats = in.context_tokens * d.unet.context;
    const RegionTexts::Lane regions =
        RegionTexts(d.unet.context > 0 ? in.regions : nullptr, n, floats, level_sizes(d.unet, in.height, in.width))
            .lane(0, n);
    const Contexts contexts(in.context, n, floats, regions.texts);
    if (d.unet.context > 0) {
        contexts.inputs(&inputs);
        regions.inputs(&inputs);
    }
    inputs.push_back(input_of(label));
    inputs.push_back(input_of(in.hint, in.hint_batch * d.unet.model_channels() * in.height * in.width));
    if (d.types > 0) {
        types.resize(static_cast<size_t>(kSizeEmbedding * d.types));
        for (int64_t k = 0; k < d.types; k++) {
            const bool asked = std::find(kinds.begin(), kinds.end(), k) != kinds.end();
            sinusoid(asked ? 1.0f : 0.0f, kSizeEmbedding, types.data() + k * kSizeEmbedding);
        }
        inputs.push_back(input_of(types));
    }
    if (several) {
        inputs.push_back(input_of(in.kind_weights, in.kind_count));
    }
    const int64_t texts = contexts.distinct();
    std::string key =
        shape_key("controlnet", {n, in.height, in.width, in.context_tokens, texts, in.hint_batch}) + regions.key();
    for (const int32_t kind : kinds) {
        key += shape_key(" kind", {kind});
    }
    if (on_device != nullptr) {
        key += shape_key(" residuals", {on_device->id(), in.first_row});
        inputs.push_back(input_of(in.scales, in.scale_count));
        run(kControl, key,
            control_graph(n, in.height, in.width, in.context_tokens, texts, in.hint_batch, kinds, regions.shape,
                          on_device, in.first_row),
            inputs, {});
        return;
    }
    std::vector<std::vector<float>> fresh;
    std::vector<HostOutput> outputs;
    for (const ResidualShape& s : shapes) {
        fresh.emplace_back(static_cast<size_t>(n * elements(s)));
        outputs.push_back({fresh.back().data(), fresh.back().size()});
    }
    run(kControl, key,
        control_graph(n, in.height, in.width, in.context_tokens, texts, in.hint_batch, kinds, regions.shape), inputs,
        outputs);
    float* level = residuals;
    for (size_t i = 0; i < shapes.size(); i++) {
        float* to = level + in.first_row * elements(shapes[i]);
        for (size_t k = 0; k < fresh[i].size(); k++) {
            to[k] += in.scales[i] * fresh[i][k];
        }
        level += in.residual_rows * elements(shapes[i]);
    }
}

BuildFunction Model::taesd_encode_graph(int64_t batch, int64_t height, int64_t width) const {
    const TaesdHalf* encoder = taesd_encoder_.get();
    return [=](GraphBuilder& g) {
        ggml_tensor* mean = encoder->build(g, g.input(GGML_TYPE_F32, width, height, 3, batch));
        g.output(ggml_concat(g.ctx, mean, ggml_scale_bias(g.ctx, mean, 0.0f, kNoVariance), 2));
    };
}

BuildFunction Model::taesd_decode_graph(int64_t batch, int64_t height, int64_t width) const {
    const TaesdHalf* decoder = taesd_decoder_.get();
    const int64_t latent     = vae_dims_.latent;
    return [=](GraphBuilder& g) { g.output(decoder->build(g, g.input(GGML_TYPE_F32, width, height, latent, batch))); };
}

BuildFunction Model::upscale_graph(int64_t batch, int64_t height, int64_t width) const {
    const Esrgan* net = upscaler_.get();
    return [=](GraphBuilder& g) { g.output(net->build(g, g.input(GGML_TYPE_F32, width, height, 3, batch))); };
}

void Model::upscale(int64_t batch, int64_t height, int64_t width, const float* pixels, float* out, size_t count) {
    use(kUpscaler, "upscale");
    const EsrganDims& d = upscaler_->dims;
    check_range("batch", batch, 1, kMaxBatch);
    check_range("height", height, d.unshuffle, kMaxSide);
    check_range("width", width, d.unshuffle, kMaxSide);
    if (height % d.unshuffle != 0 || width % d.unshuffle != 0) {
        fail(DG_ERR_ARGUMENT, "size: %lld x %lld is not a multiple of %lld", static_cast<long long>(width),
             static_cast<long long>(height), static_cast<long long>(d.unshuffle));
    }
    check_pointer("pixels", pixels);
    check_pointer("out", out);
    check_count("out", count, batch * 3 * height * width * d.scale() * d.scale());
    run(kUpscaler, shape_key("upscale", {batch, height, width}), upscale_graph(batch, height, width),
        {input_of(pixels, batch * 3 * height * width)}, {{out, count}});
}

BuildFunction Model::detect_graph(int64_t batch, int64_t height, int64_t width) const {
    const Yolo* net = detector_.get();
    return [=](GraphBuilder& g) { g.output(net->build(g, g.input(GGML_TYPE_F32, width, height, 3, batch))); };
}

void Model::detect(int64_t batch, int64_t height, int64_t width, const float* pixels, float* out, size_t count) {
    use(kDetector, "detect");
    const YoloDims& d = detector_->dims;
    check_range("batch", batch, 1, kMaxBatch);
    check_range("height", height, d.multiple(), kMaxSide);
    check_range("width", width, d.multiple(), kMaxSide);
    if (height % d.multiple() != 0 || width % d.multiple() != 0) {
        fail(DG_ERR_ARGUMENT, "size: %lld x %lld is not a multiple of %lld", static_cast<long long>(width),
             static_cast<long long>(height), static_cast<long long>(d.multiple()));
    }
    check_pointer("pixels", pixels);
    check_pointer("out", out);
    check_count("out", count, batch * d.outputs() * d.anchors(height, width));
    run(kDetector, shape_key("detect", {batch, height, width}), detect_graph(batch, height, width),
        {input_of(pixels, batch * 3 * height * width)}, {{out, count}});
}

}  // namespace dg
