#include "modules/picture_attention.h"

#include "base/error.h"
#include "modules/ops.h"

namespace dg {

int64_t PictureShape::values() const {
    int64_t n = 0;
    for (size_t i = 0; i < channels.size(); i++) {
        n += acts[i] ? 2 * channels[i] * tokens * count : 0;
    }
    return n;
}

int64_t PictureShape::mask_values() const {
    int64_t n = 0;
    for (const auto& [w, h] : masks) {
        n += input_aligned(w * h);
    }
    return n;
}

PictureAttention::PictureAttention(GraphBuilder& g, const PictureShape& shape, int64_t rows)
    : shape_(shape),
      rows_(rows) {
    const auto layers = static_cast<int64_t>(shape.channels.size());
    values_           = g.input(GGML_TYPE_F32, shape.values());
    of_row_           = g.input(GGML_TYPE_I32, rows);
    scales_           = g.input(GGML_TYPE_F32, layers * input_aligned(rows));
    masks_            = shape.masks.empty() ? nullptr : g.input(GGML_TYPE_F32, shape.mask_values());
}

// [1, T] of the level whose cells are the tokens.
ggml_tensor* PictureAttention::mask_at(GraphBuilder& g, const AttentionSite& site) const {
    int64_t at = 0;
    for (const auto& [w, h] : shape_.masks) {
        if (w == site.width && h == site.height) {
            return ggml_view_2d(g.ctx, masks_, 1, w * h, sizeof(float), static_cast<size_t>(at) * sizeof(float));
        }
        at += input_aligned(w * h);
    }
    fail(DG_ERR_ENGINE, "%s: no mask has %lld x %lld cells", site.name.c_str(), static_cast<long long>(site.width),
         static_cast<long long>(site.height));
}

ggml_tensor* PictureAttention::add(GraphBuilder& g, const AttentionSite& site, ggml_tensor* q,
                                   ggml_tensor* mixed) const {
    const auto index = static_cast<size_t>(site.index);
    if (index >= shape_.acts.size() || !shape_.acts[index]) {
        return mixed;
    }
    int64_t before = 0;  // values of the layers before
    for (size_t i = 0; i < index; i++) {
        before += shape_.acts[i] ? 2 * shape_.channels[i] : 0;
    }
    const int64_t c = shape_.channels[index], each = c * shape_.tokens * shape_.count;
    const auto part = [&](int64_t k) {  // keys or values, [C, tokens, count]
        const int64_t at = before * shape_.tokens * shape_.count + k * each;
        const size_t row = static_cast<size_t>(c) * sizeof(float);
        return ggml_view_3d(g.ctx, values_, c, shape_.tokens, shape_.count, row,
                            row * static_cast<size_t>(shape_.tokens), static_cast<size_t>(at) * sizeof(float));
    };
    ggml_tensor* a = attention(g, q, part(0), part(1), site.heads, nullptr, of_row_);
    a              = ggml_mul(g.ctx, a,
                              ggml_view_3d(g.ctx, scales_, 1, 1, rows_, sizeof(float), sizeof(float),
                                           static_cast<size_t>(site.index * input_aligned(rows_)) * sizeof(float)));
    if (masks_ != nullptr) {
        a = ggml_mul(g.ctx, a, mask_at(g, site));
    }
    return ggml_add(g.ctx, mixed, a);
}

}  // namespace dg
