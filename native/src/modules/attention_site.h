// A place for what changes a UNet's attention: pictures beside the text, other texts in parts of the picture.
#pragma once

#include <cstdint>
#include <string>

#include "backend/graph.h"

namespace dg {

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
