#include "modules/image_encoder.h"

#include <cmath>

#include "base/error.h"

namespace dg {

namespace {

const std::string kPrefix = "image_encoder.";
const std::string kModel  = kPrefix + "vision_model.";

// Channels of a head, by the width of the published encoders: ViT-H and ViT-bigG. The others have 64.
int64_t head_dim_of(int64_t width) {
    return width == 1280 ? 80 : (width == 1664 ? 104 : 64);
}

ggml_tensor* as_f32(GraphBuilder& g, ggml_tensor* x) {
    return x->type == GGML_TYPE_F32 ? x : ggml_cast(g.ctx, x, GGML_TYPE_F32);
}

}  // namespace

int64_t ImageEncoderDims::grid() const {
    return static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(tokens - 1))));
}

ImageEncoderDims infer_image_encoder_dims(const Source& source, int64_t head_dim) {
    ImageEncoderDims d;
    const std::string place = kModel + "embeddings.position_embedding.weight";
    d.width                 = source.dim(place, 0);
    d.tokens                = source.dim(place, 1);
    d.layers                = source.count(kModel + "encoder.layers", ".layer_norm1.weight");
    d.inner                 = source.dim(kModel + "encoder.layers.0.mlp.fc1.weight", 1);
    d.projection            = source.dim(kPrefix + "visual_projection.weight", 1);
    d.patch                 = static_cast<int64_t>(
        std::lround(std::sqrt(static_cast<double>(source.dim(kModel + "embeddings.patch_embedding.weight", 0)) / 3)));
    const int64_t each = head_dim > 0 ? head_dim : head_dim_of(d.width);
    if (d.layers < 2 || d.width == 0 || d.tokens < 2 || d.patch == 0 || d.grid() * d.grid() + 1 != d.tokens ||
        d.width % each != 0) {
        fail(DG_ERR_MODEL, "%s: an image encoder of %lld layers, width %lld and %lld tokens (heads of %lld) is none",
             source.path_of(place).c_str(), static_cast<long long>(d.layers), static_cast<long long>(d.width),
             static_cast<long long>(d.tokens), static_cast<long long>(each));
    }
    d.heads = d.width / each;
    return d;
}

ImageEncoder::ImageEncoder(Params& p, const ImageEncoderDims& dims) : dims(dims) {
    patch_     = p.linear(kModel + "embeddings.patch_embedding", dims.patch_values(), dims.width, false, true);
    class_     = p.table(kModel + "embeddings.class_embedding", dims.width, 1);
    positions_ = p.table(kModel + "embeddings.position_embedding.weight", dims.width, dims.tokens);
    before_    = p.norm(kModel + "pre_layrnorm", dims.width);  // their spelling
    for (int64_t i = 0; i < dims.layers; i++) {
        layers_.push_back(
            make_clip_layer(p, kModel + "encoder.layers." + std::to_string(i) + ".", dims.width, dims.inner));
    }
    after_ = p.norm(kModel + "post_layernorm", dims.width);
    if (dims.projection > 0) {
        projection_ = p.linear(kPrefix + "visual_projection", dims.width, dims.projection, false, true);
    }
}

ImageEncoder::Outputs ImageEncoder::build(GraphBuilder& g, ggml_tensor* patches, bool embeds, bool hidden) const {
    const int64_t n     = patches->ne[2];
    ggml_tensor* x      = linear(g, patch_, patches);  // [width, grid * grid, N]
    ggml_tensor* first  = ggml_reshape_3d(g.ctx, as_f32(g, class_), dims.width, 1, 1);
    first               = ggml_repeat_4d(g.ctx, first, dims.width, 1, n, 1);
    x                   = ggml_add(g.ctx, ggml_concat(g.ctx, first, x, 1), as_f32(g, positions_));
    x                   = layer_norm(g, before_, x);
    const int64_t count = embeds ? dims.layers : dims.layers - 1;
    Outputs out{nullptr, nullptr};
    for (int64_t i = 0; i < count; i++) {
        x = clip_layer(g, layers_[static_cast<size_t>(i)], x, dims.heads, nullptr, dims.quick_gelu);
        if (hidden && i + 2 == dims.layers) {
            out.hidden = x;
        }
    }
    if (embeds) {
        ggml_tensor* top = ggml_cont(g.ctx, ggml_view_2d(g.ctx, x, dims.width, n, x->nb[2], 0));
        out.embeds       = linear(g, projection_, layer_norm(g, after_, top));
    }
    return out;
}

}  // namespace dg
