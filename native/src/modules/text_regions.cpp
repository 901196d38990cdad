#include "modules/text_regions.h"

#include "base/error.h"
#include "modules/ops.h"

namespace dg {

int64_t TextRegionShape::share_values() const {
    int64_t n = 0;
    for (const auto& [w, h] : levels) {
        n += more * input_aligned(rows * w * h);
    }
    return n;
}

TextRegions::TextRegions(GraphBuilder& g, const TextRegionShape& shape) : shape_(shape) {
    shares_ = g.input(GGML_TYPE_F32, shape.share_values());
}

// [1, T, rows]: how much one of the further texts counts in each cell of the level whose cells are the tokens.
ggml_tensor* TextRegions::share(GraphBuilder& g, const AttentionSite& site, int64_t text) const {
    int64_t at = 0;
    for (const auto& [w, h] : shape_.levels) {
        const int64_t size = input_aligned(shape_.rows * w * h);
        if (w == site.width && h == site.height) {
            return ggml_view_3d(g.ctx, shares_, 1, w * h, shape_.rows, sizeof(float),
                                static_cast<size_t>(w * h) * sizeof(float),
                                static_cast<size_t>(at + text * size) * sizeof(float));
        }
        at += shape_.more * size;
    }
    fail(DG_ERR_ENGINE, "%s: no shares are of %lld x %lld cells", site.name.c_str(), static_cast<long long>(site.width),
         static_cast<long long>(site.height));
}

ggml_tensor* TextRegions::attend(GraphBuilder& g, const AttentionSite& site, ggml_tensor* q, ggml_tensor* k,
                                 ggml_tensor* v, ggml_tensor* of_row) const {
    const int64_t n = q->ne[2], rows = shape_.rows, plain = n - rows;
    ggml_tensor* again = some_rows(g, q, plain, rows);
    if (shape_.more > 1) {
        again = ggml_repeat_4d(g.ctx, again, q->ne[0], q->ne[1], shape_.texts(), 1);
    }
    // one attention for all, so that keys and values are made once
    ggml_tensor* all  = attention(g, ggml_concat(g.ctx, q, again, 2), k, v, site.heads, nullptr, of_row);
    ggml_tensor* own  = some_rows(g, all, plain, rows);
    ggml_tensor* mean = own;
    for (int64_t i = 0; i < shape_.more; i++) {
        // as differences: texts that are equal leave the result as it is, bit for bit
        ggml_tensor* more = ggml_sub(g.ctx, some_rows(g, all, n + i * rows, rows), own);
        mean              = ggml_add(g.ctx, mean, ggml_mul(g.ctx, more, share(g, site, i)));
    }
    return plain == 0 ? mean : ggml_concat(g.ctx, some_rows(g, all, 0, plain), mean, 2);
}

}  // namespace dg
