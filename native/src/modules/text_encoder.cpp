#include "modules/text_encoder.h"

#include "base/error.h"

namespace dg {

TextDims infer_text_dims(const Source& source, const std::string& prefix, int64_t head_dim) {
    TextDims d;
    const std::string model = prefix + "text_model.";
    const std::string token = model + "embeddings.token_embedding.weight";
    d.width                 = source.dim(token, 0);
    d.vocab                 = source.dim(token, 1);
    d.tokens                = source.dim(model + "embeddings.position_embedding.weight", 1);
    d.layers                = source.count(model + "encoder.layers", ".layer_norm1.weight");
    d.projection            = source.dim(prefix + "text_projection.weight", 1);
    if (d.layers < 2 || d.width == 0 || d.tokens == 0 || d.width % head_dim != 0) {
        fail(DG_ERR_MODEL, "%s: a text encoder of %lld layers and width %lld (heads of %lld) is not one of SDXL's",
             source.path_of(model).c_str(), static_cast<long long>(d.layers), static_cast<long long>(d.width),
             static_cast<long long>(head_dim));
    }
    d.heads = d.width / head_dim;
    return d;
}

TextEncoder::TextEncoder(Params& params, const std::string& prefix, const TextDims& dims) : dims(dims) {
    const std::string model = prefix + "text_model.";
    token_table_            = params.table(model + "embeddings.token_embedding.weight", dims.width, dims.vocab);
    position_table_         = params.table(model + "embeddings.position_embedding.weight", dims.width, dims.tokens);
    for (int64_t i = 0; i < dims.layers; i++) {
        layers_.push_back(
            make_clip_layer(params, model + "encoder.layers." + std::to_string(i) + ".", dims.width, 4 * dims.width));
    }
    final_norm_ = params.norm(model + "final_layer_norm", dims.width);
    if (dims.projection > 0) {
        projection_ = params.linear(prefix + "text_projection", dims.width, dims.projection, false, true);
    }
}

TextEncoder::Outputs TextEncoder::build(GraphBuilder& g, const Inputs& in, int64_t last, bool pooled) const {
    const int64_t tokens = in.ids->ne[0], chunks = in.ids->ne[1];
    ggml_tensor* x = ggml_get_rows(g.ctx, token_table_, ggml_reshape_1d(g.ctx, in.ids, tokens * chunks));
    if (in.custom != nullptr) {
        x = ggml_add(g.ctx, ggml_mul(g.ctx, x, in.keep), in.custom);
    }
    x                   = ggml_reshape_3d(g.ctx, x, dims.width, tokens, chunks);
    ggml_tensor* places = position_table_;
    if (places->type != GGML_TYPE_F32) {
        places = ggml_cast(g.ctx, places, GGML_TYPE_F32);
    }
    if (tokens < dims.tokens) {
        places = ggml_view_2d(g.ctx, places, dims.width, tokens, places->nb[1], 0);
    }
    x = ggml_add(g.ctx, x, places);
    Outputs out{nullptr, nullptr};
    const int64_t end = pooled ? dims.layers : last;
    for (int64_t i = 0; i < end; i++) {
        x = clip_layer(g, layers_[i], x, dims.heads, in.mask, dims.quick_gelu);
        if (i + 1 == last) {
            out.hidden = x;
        }
    }
    if (pooled) {
        ggml_tensor* rows = ggml_reshape_2d(g.ctx, x, dims.width, tokens * chunks);
        ggml_tensor* ends = layer_norm(g, final_norm_, ggml_get_rows(g.ctx, rows, in.ends));
        out.pooled        = linear(g, projection_, ends);
    }
    return out;
}

}  // namespace dg
