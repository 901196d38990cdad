// Pictures in a UNet's cross attention: the keys and values that an IP-Adapter made of them (modules/ip_adapter.h).
#pragma once

#include <utility>
#include <vector>

#include "modules/attention_site.h"

namespace dg {

// What a graph depends on.
struct PictureShape {
    int64_t tokens = 0;  // of a picture, or of those that stand together
    int64_t count  = 0;  // different rows of them
    std::vector<int64_t> channels;  // of each cross attention, by AttentionSite::index
    std::vector<bool> acts;  // there; a scale of 0 leaves the attention out of the graph
    std::vector<std::pair<int64_t, int64_t>> masks;  // width and height of the mask for each level; empty: none

    int64_t values() const;  // keys and values of all places where it acts
    int64_t mask_values() const;  // of all levels, with padding
};

class PictureAttention : public CrossAttention {
public:
    // Declares the inputs, in this order: keys and values, layer by layer [C, tokens, count]; I32 [rows], which of count each
    // row has; scales, layer by layer, each begins at a multiple of kInputAlign; masks, level by level, likewise.
    PictureAttention(GraphBuilder& g, const PictureShape& shape, int64_t rows);

    ggml_tensor* add(GraphBuilder& g, const AttentionSite& site, ggml_tensor* q, ggml_tensor* mixed) const override;

private:
    ggml_tensor* mask_at(GraphBuilder& g, const AttentionSite& site) const;

    const PictureShape shape_;
    const int64_t rows_;
    ggml_tensor *values_, *of_row_, *scales_, *masks_;
};

}  // namespace dg
