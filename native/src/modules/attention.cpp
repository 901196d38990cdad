// Multi-head attention: by our kernel, by the device's own, or with scores in memory.
#include <algorithm>
#include <cmath>

#include "kernels/amx.h"
#include "kernels/attention_bf16.h"
#include "kernels/matmul.h"
#include "modules/ops.h"

namespace dg {

namespace {

// `rows` queries from `first` on, with their scores in memory: [d, rows, heads, N].
ggml_tensor* attend(GraphBuilder& g, ggml_tensor* q, ggml_tensor* k, ggml_tensor* vt, ggml_tensor* mask, float scale,
                    int64_t first, int64_t rows) {
    if (rows < q->ne[1]) {
        q = ggml_view_4d(g.ctx, q, q->ne[0], rows, q->ne[2], q->ne[3], q->nb[1], q->nb[2], q->nb[3],
                         static_cast<size_t>(first) * q->nb[1]);
        if (mask != nullptr) {
            mask = ggml_view_4d(g.ctx, mask, mask->ne[0], rows, mask->ne[2], mask->ne[3], mask->nb[1], mask->nb[2],
                                mask->nb[3], static_cast<size_t>(first) * mask->nb[1]);
        }
    }
    ggml_tensor* scores = product(g, k, q);  // [Tk, rows, heads, N]
    scores              = ggml_soft_max_ext(g.ctx, scores, mask, scale, 0.0f);
    return product(g, vt, scores);
}

// Queries first..end-1, at most `step` at a time. Two halves are joined at each level, so that a result is copied few times.
ggml_tensor* attend_in_slices(GraphBuilder& g, ggml_tensor* q, ggml_tensor* k, ggml_tensor* vt, ggml_tensor* mask,
                              float scale, int64_t first, int64_t end, int64_t step) {
    if (end - first <= step) {
        return attend(g, q, k, vt, mask, scale, first, end - first);
    }
    const int64_t slices = (end - first + step - 1) / step;
    const int64_t middle = first + (slices + 1) / 2 * step;
    ggml_tensor* low     = attend_in_slices(g, q, k, vt, mask, scale, first, middle, step);
    return ggml_concat(g.ctx, low, attend_in_slices(g, q, k, vt, mask, scale, middle, end, step), 1);
}

// softmax(q k^T / sqrt(d)) v with scores in memory: all of them, or as many as traits allow. q, k, v: [d, T, heads, N].
ggml_tensor* plain_attention(GraphBuilder& g, ggml_tensor* q, ggml_tensor* k, ggml_tensor* v, ggml_tensor* mask,
                             float scale) {
    const int64_t queries = q->ne[1];
    const int64_t row     = k->ne[1] * q->ne[2] * q->ne[3] * static_cast<int64_t>(sizeof(float));  // scores of a query
    int64_t step          = queries;
    if (g.traits.attention_bytes > 0 && row * queries > g.traits.attention_bytes) {
        step = std::max<int64_t>(1, g.traits.attention_bytes / row);
    }
    ggml_tensor* vt    = ggml_cont(g.ctx, ggml_permute(g.ctx, v, 1, 0, 2, 3));  // [Tk, d, heads, N]
    ggml_tensor* mixed = attend_in_slices(g, q, k, vt, mask, scale, 0, queries, step);  // [d, Tq, heads, N]
    return ggml_cont(g.ctx, ggml_permute(g.ctx, mixed, 0, 2, 1, 3));  // [d, heads, Tq, N]
}

// The same without scores in memory. NULL if the device has no kernel for these shapes. The batch is always the fourth dimension.
ggml_tensor* flash_attention(GraphBuilder& g, ggml_tensor* q, ggml_tensor* k, ggml_tensor* v, float scale) {
    if (!g.traits.cpu) {  // GPU kernels want half-precision keys and values
        k = ggml_cast(g.ctx, k, GGML_TYPE_F16);
        v = ggml_cast(g.ctx, v, GGML_TYPE_F16);
    }
    ggml_tensor* mixed = ggml_flash_attn_ext(g.ctx, q, k, v, nullptr, scale, 0.0f, 0.0f);
    ggml_prec_set_acc(mixed, GGML_PREC_F32);
    return ggml_backend_supports_op(g.backend, mixed) ? mixed : nullptr;
}

// x [C, T, U] -> [C, T, N].
ggml_tensor* pick_rows(GraphBuilder& g, ggml_tensor* x, ggml_tensor* of_row) {
    ggml_tensor* flat = ggml_get_rows(g.ctx, ggml_reshape_2d(g.ctx, x, x->ne[0] * x->ne[1], x->ne[2]), of_row);
    return ggml_reshape_3d(g.ctx, flat, x->ne[0], x->ne[1], of_row->ne[0]);
}

// Keys and values as our kernel reads them. If they are products, the products write them so.
KeysValues keys_values(GraphBuilder& g, ggml_tensor* k, ggml_tensor* v) {
    const auto of_k = g.products.find(k), of_v = g.products.find(v);
    const int64_t tokens = k->ne[1], batch = k->ne[2];
    if (of_k == g.products.end() || of_v == g.products.end() || !writes_keys_values(tokens)) {
        return pack_keys_values(g.ctx, k, v);
    }
    const ProductOf &keys = of_k->second, &values = of_v->second;
    return {matmul_keys(g.ctx, keys.weight, keys.packed, tokens, batch, keys.bias),
            matmul_values(g.ctx, values.weight, values.packed, tokens, batch, values.bias), tokens};
}

}  // namespace

ggml_tensor* attention(GraphBuilder& g, ggml_tensor* q, ggml_tensor* k, ggml_tensor* v, int64_t heads,
                       ggml_tensor* mask, ggml_tensor* of_row) {
    const int64_t channels = q->ne[0], tokens = q->ne[1], batch = q->ne[2];
    const int64_t size = channels / heads;
    const float scale  = 1.0f / std::sqrt(static_cast<float>(size));
    if (may_pack(g) && (mask != nullptr || g.traits.flash_attention) && attention_offered(size) &&
        ggml_is_contiguous(q) && ggml_is_contiguous(k) && ggml_is_contiguous(v) &&
        (mask == nullptr || (mask->type == GGML_TYPE_F32 && mask->ne[2] == 1))) {
        const KeysValues kv = keys_values(g, k, v);
        ggml_tensor* y      = attention_bf16(g.ctx, q, kv, heads, mask, of_row);
        if (tokens % kTile == 0) {
            g.packed[y].make = [&g, q, kv, heads, mask, of_row](TokenForm form) {
                return attention_packed(g.ctx, q, kv, heads, mask, of_row, form);
            };
        }
        return y;
    }
    if (of_row != nullptr) {
        k = pick_rows(g, k, of_row);
        v = pick_rows(g, v, of_row);
    }
    const auto split = [&](ggml_tensor* t) {  // [C, T, N] -> [d, T, heads, N]
        ggml_tensor* s = ggml_reshape_4d(g.ctx, t, size, heads, t->ne[1], t->ne[2]);
        return ggml_permute(g.ctx, s, 0, 2, 1, 3);
    };
    ggml_tensor* sq    = split(q);
    ggml_tensor* sk    = split(k);
    ggml_tensor* sv    = split(v);
    ggml_tensor* mixed = nullptr;
    if (mask == nullptr && g.traits.flash_attention) {
        mixed = flash_attention(g, sq, sk, sv, scale);
    }
    if (mixed == nullptr) {
        mixed = plain_attention(g, sq, sk, sv, mask, scale);
    }
    return ggml_reshape_3d(g.ctx, mixed, channels, tokens, batch);
}

}  // namespace dg
