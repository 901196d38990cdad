// A place for what changes a UNet's attention: pictures beside the text, other texts in parts of the picture.
#pragma once

#include <cstdint>
#include <string>

#include "backend/graph.h"

namespace dg {

constexpr int64_t kInputAlign = 64;  // floats: where parts of an input begin, so that devices can address them

inline int64_t input_aligned(int64_t n) {
    return (n + kInputAlign - 1) / kInputAlign * kInputAlign;
}

// Rows first .. first+count-1 of x [C, T, N].
inline ggml_tensor* some_rows(GraphBuilder& g, ggml_tensor* x, int64_t first, int64_t count) {
    if (first == 0 && count == x->ne[2]) {
        return x;
    }
    return ggml_view_3d(g.ctx, x, x->ne[0], x->ne[1], count, x->nb[1], x->nb[2], static_cast<size_t>(first) * x->nb[2]);
}

// One transformer block of a UNet, where it attends.
struct AttentionSite {
    std::string name;  // diffusers': "down_blocks.1.attentions.0.transformer_blocks.0"
    int64_t index = 0;  // of the block in the order of diffusers' attn_processors: down blocks, up blocks, middle
    int64_t width = 0, height = 0;  // of the picture whose cells are the tokens
    int64_t heads = 0;
};

// Takes part in every cross attention of a graph. Several are asked one after the other.
class CrossAttention {
public:
    virtual ~CrossAttention() = default;

    // q [C, T, N]: the queries. mixed [C, T, N]: the result so far, of the text at first. Returns the new result, before
    // the layer's output projection. `mixed` itself leaves everything as it is, bit for bit.
    virtual ggml_tensor* add(GraphBuilder& g, const AttentionSite& site, ggml_tensor* q, ggml_tensor* mixed) const = 0;
};

}  // namespace dg
