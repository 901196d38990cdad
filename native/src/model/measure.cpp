// What Model knows of a stage without computing it: the size of its compute buffer and the number of its lanes.
#include <map>
#include <string>
#include <utility>

#include "backend/graph.h"
#include "model/changes.h"
#include "model/compute_common.h"
#include "model/model.h"
#include "model/region_texts.h"

namespace dg {

constexpr int64_t kMaxShapes = 1 << 20;  // of adapters' changes

size_t Model::measure(int index, const BuildFunction& build, const AdapterStack* stack) const {
    const Worker& worker = *components_[index].worker;
    Traits t             = traits(worker);
    t.more_nodes         = stack != nullptr ? stack->more_nodes() : 0;
    return GraphRunner::measure(worker, t, build);
}

std::unique_ptr<AdapterStack> Model::stack_of(int index, const dg_compute_query& q) const {
    check_range("lora_count", q.lora_count, 0, kMaxShapes);
    const AdapterPtr shapes = shape_adapter({{components_[index].params.get(), index}}, q.loras, q.lora_count);
    return shapes->items.empty() ? nullptr
                                 : std::make_unique<AdapterStack>(shapes, index, components_[index].params->policy());
}

Model::UnetQuery Model::unet_query(const dg_compute_query& q, const Model* xs) const {
    UnetQuery out;
    out.xs    = xs;
    out.stack = stack_of(kUnet, q);
    check_range("residuals", q.residuals, DG_RESIDUALS_NONE, DG_RESIDUALS_HOST);
    if (q.residuals == DG_RESIDUALS_DEVICE) {
        out.residuals =
            std::make_unique<Residuals>(components_[kUnet].worker->device(), unet_->dims, q.batch, q.height, q.width);
    }
    if (q.block_rows != 0 && q.block_rows != 1) {
        check_range("block_rows", q.block_rows, q.batch, q.batch);
    }
    if (q.keep != DG_KEEP_NONE) {
        out.use = {q.keep, q.features_use, q.branch};
        check_features(out.use);
        out.features = std::make_unique<Features>(nullptr);
        out.features->describe(feature_shapes(out.use, q.height, q.width, q.context_tokens), q.batch);
    }
    out.pictures = pictures_of(q);
    return out;
}

BuildFunction Model::unet_graph_of(const dg_compute_query& q, const UnetQuery& with, int64_t first, int64_t rows,
                                   int64_t texts, std::shared_ptr<const ChangeShape> change) const {
    const UnetBeside beside{q.residuals == DG_RESIDUALS_HOST,
                            with.pictures,
                            std::move(change),
                            with.residuals.get(),
                            first,
                            q.block_rows == 1   ? 1
                            : q.block_rows == 0 ? 0
                                                : rows,
                            region_shape(q, first, rows, level_sizes(unet_->dims, q.height, q.width)),
                            with.xs == nullptr ? nullptr : &joinable_xs(*with.xs)};
    if (with.features == nullptr) {
        return unet_graph(rows, q.height, q.width, q.context_tokens, texts, with.stack.get(), beside);
    }
    return unet_graph_with(*with.features, with.use, first, rows, q.height, q.width, q.context_tokens, texts,
                           with.stack.get(), beside);
}

// Rows of equal texts stand together.
size_t Model::unet_compute_size(const dg_compute_query& q, const Model* xs) const {
    const int64_t texts     = texts_of(q);
    const UnetQuery with    = unet_query(q, xs);
    const LevelSizes levels = level_sizes(unet_->dims, q.height, q.width);
    const Changes changes(q.change, *unet_, q.batch, levels, false);
    std::map<std::pair<std::string, int64_t>, size_t>
        known;  // by rows, changes and texts of a lane: most lanes are alike
    size_t bytes  = 0;
    int64_t first = 0;
    for (const int64_t count : unet_shares(q.batch, q.height, q.width, q.context_tokens)) {
        const int64_t last = first + count - 1;
        const int64_t here = last * texts / q.batch - first * texts / q.batch + 1;
        const Changes::Lane changed(changes, first, count);
        const TextRegionShape regions = region_shape(q, first, count, levels);
        const int64_t all             = here + region_texts(q, first, count);
        size_t& size = known[{std::to_string(count) + changed.key() + " " + std::to_string(regions.rows), all}];
        if (size == 0) {
            size = measure(kUnet, unet_graph_of(q, with, first, count, all, changed.shape()), with.stack.get());
        }
        bytes += size;
        first += count;
    }
    return bytes;
}

size_t Model::vae_decode_size(const dg_compute_query& q) const {
    std::map<int64_t, size_t> known;
    size_t bytes = 0;
    for (const int64_t n : vae_decode_shares(q.batch, q.height, q.width)) {
        size_t& size = known[n];
        if (size == 0) {
            size = measure(kVaeDecoder, vae_decode_graph(n, q.height, q.width));
        }
        bytes += size;
    }
    return bytes;
}

void Model::check_compute_query(const dg_compute_query& q, const char* what) const {
    check_range("batch", q.batch, 1, kMaxBatch);
    switch (q.stage) {
        case DG_STAGE_TEXT: require(kText1, what); break;
        case DG_STAGE_TEXT_2: require(kText2, what); break;
        case DG_STAGE_UNET:
        case DG_STAGE_FEATURES:
            require(kUnet, what);
            check_range("height", q.height, 1, kMaxSide);
            check_range("width", q.width, 1, kMaxSide);
            check_range("context_tokens", q.context_tokens, 1, kMaxTokens);
            check_range("image_prompts", q.image_prompts, 0, kMaxImagePrompts);
            check_range("image_tokens", q.image_tokens, q.image_prompts > 0 ? 1 : 0, kMaxTokens);
            break;
        case DG_STAGE_VAE_ENCODE:
            require(kVaeEncoder, what);
            check_range("height", q.height, vae_dims_.downscale(), kMaxSide);
            check_range("width", q.width, vae_dims_.downscale(), kMaxSide);
            break;
        case DG_STAGE_VAE_DECODE:
            require(kVaeDecoder, what);
            check_range("height", q.height, 1, kMaxSide / vae_dims_.downscale());
            check_range("width", q.width, 1, kMaxSide / vae_dims_.downscale());
            break;
        case DG_STAGE_VAE_DECODE_MIDDLE:
        case DG_STAGE_VAE_DECODE_LEVELS: require(kVaeDecoder, what); break;
        case DG_STAGE_VAE_ENCODE_LEVELS:
        case DG_STAGE_VAE_ENCODE_MIDDLE: require(kVaeEncoder, what); break;
        case DG_STAGE_IMAGE_ENCODE: require(kImageEncoder, what); break;
        case DG_STAGE_IP_ADAPTER:
            require(kIpAdapter, what);
            check_range("image_tokens", q.image_tokens, 1, kMaxTokens);
            break;
        case DG_STAGE_CONTROL:
        case DG_STAGE_CONTROL_HINT:
        case DG_STAGE_UPSCALE:
        case DG_STAGE_DETECT:
            require(q.stage == DG_STAGE_UPSCALE ? kUpscaler : q.stage == DG_STAGE_DETECT ? kDetector : kControl, what);
            if (q.stage == DG_STAGE_CONTROL && control_ == nullptr) {
                fail(DG_ERR_UNSUPPORTED, "%s: a T2I-Adapter or a ControlNet-XS is not evaluated by itself", what);
            }
            check_range("height", q.height, 1, kMaxSide);
            check_range("width", q.width, 1, kMaxSide);
            if (q.stage == DG_STAGE_CONTROL) {
                check_range("context_tokens", q.context_tokens, 1, kMaxTokens);
                check_range("kinds", q.kinds, 0, control_->dims.types > 0 ? kMaxBatch : 0);
            }
            break;
        default: fail(DG_ERR_ARGUMENT, "stage: %d is none of DG_STAGE_*", q.stage);
    }
}

std::pair<int, BuildFunction> Model::graph_of(const dg_compute_query& q, UnetQuery* with) const {
    const VaeCore core{0, 0, q.width, q.height, q.width};
    switch (q.stage) {
        case DG_STAGE_TEXT:
        case DG_STAGE_TEXT_2: {
            const int which   = q.stage == DG_STAGE_TEXT ? kText1 : kText2;
            const TextDims& d = text_[which]->dims;
            with->stack       = stack_of(which, q);
            return {which,
                    text_graph(which, q.batch, d.tokens, d.layers - 1, d.projection > 0, false, with->stack.get())};
        }
        case DG_STAGE_UNET:
        case DG_STAGE_FEATURES: {
            const LevelSizes levels = level_sizes(unet_->dims, q.height, q.width);
            const Changes changes(q.change, *unet_, q.batch, levels, false);
            const Changes::Lane all(changes, 0, q.batch);
            *with = unet_query(q, with->xs);
            return {kUnet, unet_graph_of(q, *with, 0, q.batch, texts_of(q) + region_texts(q, 0, q.batch), all.shape())};
        }
        case DG_STAGE_VAE_ENCODE: return {kVaeEncoder, vae_encode_graph(q.batch, q.height, q.width)};
        case DG_STAGE_VAE_DECODE: return {kVaeDecoder, vae_decode_graph(q.batch, q.height, q.width)};
        case DG_STAGE_VAE_DECODE_MIDDLE:
            return {kVaeDecoder, vae_part_graph(q.stage, q.height, q.width, false, nullptr)};
        case DG_STAGE_VAE_DECODE_LEVELS: return {kVaeDecoder, vae_part_graph(q.stage, q.height, q.width, true, &core)};
        case DG_STAGE_VAE_ENCODE_LEVELS: return {kVaeEncoder, vae_part_graph(q.stage, q.height, q.width, true, &core)};
        case DG_STAGE_VAE_ENCODE_MIDDLE:
            return {kVaeEncoder, vae_part_graph(q.stage, q.height, q.width, false, nullptr)};
        case DG_STAGE_CONTROL:
            return {kControl,
                    control_graph(q.batch, q.height, q.width, q.context_tokens,
                                  texts_of(q) + region_texts(q, 0, q.batch), std::max<int64_t>(q.kinds, 1),
                                  std::vector<int32_t>(static_cast<size_t>(std::max<int64_t>(q.kinds, 1))),
                                  region_shape(q, 0, q.batch, level_sizes(control_->dims.unet, q.height, q.width)))};
        case DG_STAGE_CONTROL_HINT: return {kControl, control_hint_graph(q.batch, q.height, q.width)};
        case DG_STAGE_IMAGE_ENCODE: return {kImageEncoder, image_encoder_graph(q.batch, true, true)};
        case DG_STAGE_IP_ADAPTER: return {kIpAdapter, ip_adapter_graph(q.batch, 1, q.image_tokens, 0)};
        case DG_STAGE_DETECT: return {kDetector, detect_graph(q.batch, q.height, q.width)};
        default: return {kUpscaler, upscale_graph(q.batch, q.height, q.width)};
    }
}

size_t Model::compute_size(const dg_compute_query& q, const Model* xs) const {
    check_compute_query(q, "compute_size");
    switch (q.stage) {
        case DG_STAGE_UNET: return unet_compute_size(q, xs);
        case DG_STAGE_FEATURES: return features_size(q, xs);
        case DG_STAGE_VAE_DECODE: return vae_decode_size(q);
        case DG_STAGE_VAE_DECODE_MIDDLE:
        case DG_STAGE_VAE_DECODE_LEVELS:
        case DG_STAGE_VAE_ENCODE_LEVELS:
        case DG_STAGE_VAE_ENCODE_MIDDLE: return vae_part_size(q.stage, q.height, q.width);
        default: break;
    }
    UnetQuery with;
    with.xs                       = xs;
    const auto [component, build] = graph_of(q, &with);
    return measure(component, build, with.stack.get());
}

std::vector<NodeGroup> Model::compute_nodes(const dg_compute_query& q, const Model* xs) const {
    check_compute_query(q, "compute_nodes");
    UnetQuery with;
    with.xs                       = xs;
    const auto [component, build] = graph_of(q, &with);
    const Worker& worker          = *components_[component].worker;
    Traits t                      = traits(worker);
    t.more_nodes                  = with.stack != nullptr ? with.stack->more_nodes() : 0;
    std::vector<NodeGroup> groups;
    GraphRunner::inspect(worker, t, build, [&](ggml_tensor* node) {
        if (is_computed(node)) {
            add_node(&groups, node, ggml_backend_supports_op(worker.backend(), node));
        }
    });
    return groups;
}

void Model::transfers(dg_transfer_info* out) const {
    const Transfers& t  = runner_.transfers();
    out->runs           = t.runs;
    out->uploads        = t.uploads;
    out->upload_bytes   = t.upload_bytes;
    out->downloads      = t.downloads;
    out->download_bytes = t.download_bytes;
    out->pinned_bytes   = static_cast<int64_t>(runner_.pinned_bytes());
}

int32_t Model::compute_lanes(const dg_compute_query& q) const {
    check_compute_query(q, "compute_lanes");
    switch (q.stage) {
        case DG_STAGE_UNET:
            return static_cast<int32_t>(unet_shares(q.batch, q.height, q.width, q.context_tokens).size());
        case DG_STAGE_VAE_DECODE: return static_cast<int32_t>(vae_decode_shares(q.batch, q.height, q.width).size());
        default: return 1;
    }
}

}  // namespace dg
