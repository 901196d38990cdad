// The computing half of Model: checks sizes, prepares inputs on the host, runs graphs.

#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "model/changes.h"
#include "model/compute_common.h"
#include "model/contexts.h"
#include "model/model.h"
#include "model/region_texts.h"
#include "text/tokenizer.h"

namespace dg {

BuildFunction Model::text_graph(int which, int64_t chunks, int64_t tokens, int64_t last, bool pooled, bool custom,
                                const AdapterStack* stack) const {
    const TextEncoder* encoder = text_[which].get();
    return [=](GraphBuilder& g) {
        TextEncoder::Inputs in;
        in.ids    = g.input(GGML_TYPE_I32, tokens, chunks);
        in.mask   = g.input(GGML_TYPE_F32, tokens, tokens);
        in.keep   = custom ? g.input(GGML_TYPE_F32, 1, tokens * chunks) : nullptr;
        in.custom = custom ? g.input(GGML_TYPE_F32, encoder->dims.width, tokens * chunks) : nullptr;
        in.ends   = pooled ? g.input(GGML_TYPE_I32, chunks) : nullptr;
        apply_adapters(g, stack);
        const TextEncoder::Outputs out = encoder->build(g, in, last, pooled);
        g.output(out.hidden);
        if (pooled) {
            g.output(out.pooled);
        }
    };
}

void Model::text_encode(const dg_text_input& in, float* hidden, size_t hidden_count, float* pooled,
                        size_t pooled_count) {
    check_range("encoder", in.encoder, 0, 1);
    use(in.encoder, "text_encode");
    const TextDims& d = text_[in.encoder]->dims;
    check_range("chunks", in.chunks, 1, kMaxBatch);
    check_range("tokens", in.tokens, 2, d.tokens);
    check_range("clip_skip", in.clip_skip, 0, d.layers - 2);
    check_range("custom_count", in.custom_count, 0, kMaxTokens);
    check_pointer("ids", in.ids);
    check_pointer("hidden", hidden);
    const int64_t total  = in.chunks * in.tokens;
    const bool customs   = in.custom_count > 0;
    const bool want_pool = pooled != nullptr;
    if (customs) {
        check_pointer("custom", in.custom);
    }
    if (want_pool && d.projection == 0) {
        fail(DG_ERR_UNSUPPORTED, "pooled: text encoder %d has no projection", in.encoder);
    }
    check_count("hidden", hidden_count, total * d.width);
    if (want_pool) {
        check_count("pooled", pooled_count, in.chunks * d.projection);
    }

    std::vector<int32_t> ids(in.ids, in.ids + total);
    std::vector<float> keep, custom;
    std::vector<int32_t> ends;
    if (customs) {
        keep.assign(static_cast<size_t>(total), 1.0f);
        custom.assign(static_cast<size_t>(total * d.width), 0.0f);
    }
    for (int64_t i = 0; i < total; i++) {
        if (ids[i] < 0 || ids[i] >= d.vocab + in.custom_count) {
            fail(DG_ERR_ARGUMENT, "ids[%lld]: %d is not a token of the %lld known and %lld custom ones",
                 static_cast<long long>(i), ids[i], static_cast<long long>(d.vocab),
                 static_cast<long long>(in.custom_count));
        }
        if (ids[i] >= d.vocab) {
            const float* row = in.custom + (ids[i] - d.vocab) * d.width;
            std::copy(row, row + d.width, custom.begin() + i * d.width);
            keep[static_cast<size_t>(i)] = 0.0f;
            ids[i]                       = 0;
        }
    }
    for (int64_t c = 0; want_pool && c < in.chunks; c++) {
        int64_t at = 0;
        while (at < in.tokens - 1 && in.ids[c * in.tokens + at] != kTokenEnd) {
            at++;
        }
        ends.push_back(static_cast<int32_t>(c * in.tokens + at));
    }
    std::vector<float> mask(static_cast<size_t>(in.tokens * in.tokens), 0.0f);
    for (int64_t q = 0; q < in.tokens; q++) {
        for (int64_t k = q + 1; k < in.tokens; k++) {
            mask[static_cast<size_t>(q * in.tokens + k)] = -INFINITY;
        }
    }

    const int64_t last = d.layers - 1 - in.clip_skip;
    std::vector<HostInput> inputs{input_of(ids), input_of(mask)};
    if (customs) {
        inputs.push_back(input_of(keep));
        inputs.push_back(input_of(custom));
    }
    std::vector<HostOutput> outputs{{hidden, hidden_count}};
    if (want_pool) {
        inputs.push_back(input_of(ends));
        outputs.push_back({pooled, pooled_count});
    }
    std::vector<float> scales;
    const AdapterStack* stack = stack_of(in.encoder, in.loras, in.lora_count, &scales);
    if (stack != nullptr) {
        inputs.push_back(input_of(scales));
    }
    run(in.encoder,
        shape_key(in.encoder == 0 ? "text_encoder" : "text_encoder_2",
                  {in.chunks, in.tokens, last, want_pool, customs, stack != nullptr ? stack->id() : 0}),
        text_graph(in.encoder, in.chunks, in.tokens, last, want_pool, customs, stack), inputs, outputs);
}

BuildFunction Model::unet_graph(int64_t batch, int64_t height, int64_t width, int64_t tokens, int64_t texts,
                                const AdapterStack* stack, const UnetBeside& beside) const {
    return [=](GraphBuilder& g) {
        g.output(declare_unet(g, batch, height, width, tokens, texts, stack, nullptr, beside));
    };
}

ggml_tensor* Model::declare_unet(GraphBuilder& g, int64_t batch, int64_t height, int64_t width, int64_t tokens,
                                 int64_t texts, const AdapterStack* stack, Unet::Keep* keep,
                                 const UnetBeside& beside) const {
    const UnetDims& d = unet_->dims;
    Unet::Inputs in;
    in.sample       = g.input(GGML_TYPE_F32, width, height, d.in_channels, batch);
    in.time         = g.input(GGML_TYPE_F32, d.model_channels(), batch);
    in.context      = Contexts::declare(g, d.context, tokens, texts, batch, beside.regions.texts());
    in.context.keep = keep;
    std::optional<TextRegions> regions;
    if (beside.regions.more > 0) {
        in.context.regions = &regions.emplace(g, beside.regions);
    }
    in.label = g.input(GGML_TYPE_F32, d.label, batch);
    if (d.guidance > 0) {
        in.guidance = g.input(GGML_TYPE_F32, d.guidance, batch);
    }
    if (beside.residuals) {
        for (const ResidualShape& s : residual_shapes(d, height, width)) {
            in.residuals.push_back(g.input(GGML_TYPE_F32, s.width, s.height, s.channels, batch));
        }
    }
    if (beside.on_device != nullptr) {
        in.residuals = beside.on_device->rows_of(g, beside.first, batch);
    }
    if (beside.block_rows > 0) {
        for (const BlockShape& s : block_shapes(d, height, width)) {
            in.context.blocks.push_back(g.input(GGML_TYPE_F32, s.width, s.height, s.channels, beside.block_rows));
        }
    }
    std::optional<XsRun> xs;
    if (beside.xs != nullptr) {
        const XsDims& x      = beside.xs->dims;
        ggml_tensor* hint    = g.input(GGML_TYPE_F32, width, height, x.channels[0]);
        in.context.companion = &xs.emplace(*beside.xs, ControlXs::Inputs{hint, g.input(GGML_TYPE_F32, 1), &in.context});
    }
    std::vector<std::unique_ptr<PictureAttention>> shown;
    for (const PictureShape& p : beside.pictures) {
        shown.push_back(std::make_unique<PictureAttention>(g, p, batch));
        in.context.beside.push_back(shown.back().get());
    }
    std::optional<UnetChange> inside;
    if (beside.change != nullptr) {
        in.context.change = &inside.emplace(g, *beside.change);
    }
    apply_adapters(g, stack);
    return unet_->build(g, in);
}

void Model::unet_eval(const dg_unet_input& in, Features* features, const Residuals* on_device, Model* other, float* out,
                      size_t out_count) {
    use(kUnet, "unet_eval");
    const UnetDims& d = unet_->dims;
    check_range("batch", in.batch, 1, kMaxBatch);
    check_range("height", in.height, 1, kMaxSide);
    check_range("width", in.width, 1, kMaxSide);
    check_range("context_tokens", in.context_tokens, 1, kMaxTokens);
    check_pointer("sample", in.sample);
    check_pointer("timesteps", in.timesteps);
    check_pointer("context", in.context);
    check_pointer("pooled", in.pooled);
    check_pointer("size_ids", in.size_ids);
    check_pointer("out", out);
    check_count("out", out_count, in.batch * d.out_channels * in.height * in.width);

    if (on_device != nullptr) {
        check_residuals(*on_device, kUnet, d, in.batch, in.height, in.width);
        check_count("residuals", static_cast<size_t>(in.residual_count), 0);
    }
    if (in.residual_count != 0) {
        check_pointer("residuals", in.residuals);
        check_count("residuals", static_cast<size_t>(in.residual_count),
                    static_cast<int64_t>(residual_count(in.batch, in.height, in.width)));
    }

    const int64_t n                   = in.batch;
    const std::vector<int64_t> blocks = check_blocks(in);
    std::vector<float> time, label, guidance(static_cast<size_t>(n * d.guidance));
    embed_conditioning(d, n, in.timesteps, in.pooled, in.size_ids, &time, &label);
    for (int64_t i = 0; in.guidance != nullptr && d.guidance > 0 && i < n; i++) {
        guidance_sinusoid(in.guidance[i], d.guidance, guidance.data() + i * d.guidance);
    }
    std::vector<float> scales;
    const AdapterStack* stack       = stack_of(kUnet, in.loras, in.lora_count, &scales);
    const std::vector<int64_t> rows = unet_shares(n, in.height, in.width, in.context_tokens);
    const FeatureUse use{features == nullptr ? DG_KEEP_NONE : in.keep, in.features_use, in.branch};
    if (features != nullptr) {
        prepare_features(*features, use, in);
    }
    if (features != nullptr && in.change != nullptr) {
        fail(DG_ERR_ARGUMENT, "change: cannot be used with features");
    }
    const XsBeside xs = join_xs(in, other);
    const auto levels = level_sizes(d, in.height, in.width);
    const ImagePrompts prompts(in, unet_->attention_channels(), levels);
    const Changes changes(in.change, *unet_, n, levels, true);
    const RegionTexts regions(in.regions, n, in.context_tokens * d.context, levels);
    std::vector<RegionTexts::Lane> regional;
    regional.reserve(rows.size());
    std::vector<Changes::Lane> changed;
    changed.reserve(rows.size());
    std::vector<Contexts> contexts;
    std::vector<LaneCall> calls;
    std::vector<ImagePrompts::Rows> shown;
    shown.reserve(rows.size());
    contexts.reserve(rows.size());  // inputs point into its elements, so they must not move
    int64_t first = 0;
    for (const int64_t count : rows) {
        regional.push_back(regions.lane(first, count));
        contexts.emplace_back(in.context + first * in.context_tokens * d.context, count, in.context_tokens * d.context,
                              regional.back().texts);
        const int64_t texts = contexts.back().distinct();
        changed.emplace_back(changes, first, count);
        LaneCall call;
        const int64_t block_rows = blocks.empty() || in.block_rows == 1 ? in.block_rows : count;
        const UnetBeside beside{in.residual_count != 0,
                                prompts.shapes(),
                                changed.back().shape(),
                                on_device,
                                first,
                                block_rows,
                                regional.back().shape,
                                xs.net};
        call.key = shape_key("unet", {count, in.height, in.width, in.context_tokens, texts, in.residual_count != 0,
                                      stack != nullptr ? stack->id() : 0, block_rows}) +
                   prompts.key() + changed.back().key() + regional.back().key() + xs.key;
        if (on_device != nullptr) {
            call.key += shape_key(" residuals", {on_device->id(), first});
        }
        if (features == nullptr) {
            call.build = unet_graph(count, in.height, in.width, in.context_tokens, texts, stack, beside);
        } else {
            call.key += shape_key(" features", {features->id(), use.use, first});
            call.build = unet_graph_with(*features, use, first, count, in.height, in.width, in.context_tokens, texts,
                                         stack, beside);
        }
        call.inputs.push_back(rows_of(in.sample, first, count, d.in_channels * in.height * in.width));
        call.inputs.push_back(rows_of(time.data(), first, count, d.model_channels()));
        contexts.back().inputs(&call.inputs);
        regional.back().inputs(&call.inputs);
        call.inputs.push_back(rows_of(label.data(), first, count, d.label));
        if (d.guidance > 0) {
            call.inputs.push_back(rows_of(guidance.data(), first, count, d.guidance));
        }
        if (in.residual_count != 0) {
            const float* level = in.residuals;
            for (const ResidualShape& s : residual_shapes(d, in.height, in.width)) {
                call.inputs.push_back(rows_of(level, first, count, s.channels * s.height * s.width));
                level += n * s.channels * s.height * s.width;
            }
        }
        const float* block = in.block_features;
        for (const int64_t values : blocks) {
            call.inputs.push_back(rows_of(block, in.block_rows == 1 ? 0 : first, block_rows, values));
            block += in.block_rows * values;
        }
        if (xs.net != nullptr) {
            call.inputs.push_back(xs.hint);
            call.inputs.push_back(input_of(&xs.scale, 1));
        }
        shown.push_back(prompts.rows(first, count));
        prompts.inputs(shown.back(), &call.inputs);
        changed.back().inputs(&call.inputs);
        if (stack != nullptr) {
            call.inputs.push_back(input_of(scales));
        }
        const int64_t values = d.out_channels * in.height * in.width;
        call.outputs.push_back({out + first * values, static_cast<size_t>(count * values)});
        calls.push_back(std::move(call));
        first += count;
    }
    if (features == nullptr) {
        run(kUnet, calls);
        return;
    }
    if (use.use == DG_FEATURES_STORE) {
        features->set_filled(false);
    }
    if (use.keep != DG_KEEP_DEEP) {
        run(kUnet, calls);
    } else if (use.reuses()) {
        run_shallow(calls);
    } else {
        run_beside_shallow(calls);
    }
    features->set_filled(true);
}

std::vector<int64_t> Model::unet_shares(int64_t rows, int64_t height, int64_t width, int64_t tokens) const {
    return shares(kUnet, rows, kRowsOfPicture, shape_key("unet", {height, width, tokens}),
                  unet_graph(1, height, width, tokens, 1, nullptr));
}

void Model::embed_conditioning(const UnetDims& d, int64_t n, const float* timesteps, const float* pooled,
                               const float* size_ids, std::vector<float>* time, std::vector<float>* label) const {
    const int64_t c = d.model_channels(), texts = d.label - size_ids_ * kSizeEmbedding;
    time->resize(static_cast<size_t>(n * c));
    label->resize(static_cast<size_t>(n * d.label));
    for (int64_t i = 0; i < n; i++) {
        sinusoid(timesteps[i], c, time->data() + i * c);
        float* row = label->data() + i * d.label;
        std::copy(pooled + i * texts, pooled + (i + 1) * texts, row);
        for (int64_t k = 0; k < size_ids_; k++) {
            sinusoid(size_ids[i * size_ids_ + k], kSizeEmbedding, row + texts + k * kSizeEmbedding);
        }
    }
}

BuildFunction Model::vae_encode_graph(int64_t batch, int64_t height, int64_t width) const {
    if (taesd_encoder_ != nullptr) {
        return taesd_encode_graph(batch, height, width);
    }
    const VaeEncoder* encoder = vae_encoder_.get();
    return [=](GraphBuilder& g) { g.output(encoder->build(g, g.input(GGML_TYPE_F32, width, height, 3, batch))); };
}

BuildFunction Model::vae_decode_graph(int64_t batch, int64_t height, int64_t width) const {
    if (taesd_decoder_ != nullptr) {
        return taesd_decode_graph(batch, height, width);
    }
    const VaeDecoder* decoder = vae_decoder_.get();
    const int64_t latent      = vae_dims_.latent;
    return [=](GraphBuilder& g) { g.output(decoder->build(g, g.input(GGML_TYPE_F32, width, height, latent, batch))); };
}

void Model::vae_encode(int64_t batch, int64_t height, int64_t width, const float* pixels, float* moments,
                       size_t count) {
    use(kVaeEncoder, "vae_encode");
    const int64_t scale = vae_dims_.downscale();
    check_pictures(batch, height, width, scale);
    check_pointer("pixels", pixels);
    check_pointer("moments", moments);
    check_count("moments", count, batch * 2 * vae_dims_.latent * (height / scale) * (width / scale));
    run(kVaeEncoder, shape_key("vae_encode", {batch, height, width}), vae_encode_graph(batch, height, width),
        {input_of(pixels, batch * 3 * height * width)}, {{moments, count}});
}

void Model::vae_decode(int64_t batch, int64_t height, int64_t width, const float* latents, float* pixels,
                       size_t count) {
    use(kVaeDecoder, "vae_decode");
    const int64_t scale = vae_dims_.downscale();
    check_range("batch", batch, 1, kMaxBatch);
    check_range("height", height, 1, kMaxSide / scale);
    check_range("width", width, 1, kMaxSide / scale);
    check_pointer("latents", latents);
    check_pointer("pixels", pixels);
    check_count("pixels", count, batch * 3 * height * width * scale * scale);
    const int64_t values = 3 * height * width * scale * scale;
    std::vector<LaneCall> calls;
    int64_t first = 0;
    for (const int64_t n : vae_decode_shares(batch, height, width)) {
        calls.push_back({shape_key("vae_decode", {n, height, width}),
                         vae_decode_graph(n, height, width),
                         {rows_of(latents, first, n, vae_dims_.latent * height * width)},
                         {{pixels + first * values, static_cast<size_t>(n * values)}}});
        first += n;
    }
    run(kVaeDecoder, calls);
}

std::vector<int64_t> Model::vae_decode_shares(int64_t pictures, int64_t height, int64_t width) const {
    return shares(kVaeDecoder, pictures, 1, shape_key("vae_decode", {height, width}),
                  vae_decode_graph(1, height, width));
}

}  // namespace dg
