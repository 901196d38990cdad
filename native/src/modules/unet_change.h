// What one evaluation changes inside the UNet: self-attention of perturbed rows (PAG, SEG), the weights of skips (FreeU).
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "modules/attention_site.h"

namespace dg {

using LevelSizes =
    std::vector<std::pair<int64_t, int64_t>>;  // width and height of the latents and of each level below, in cells

// Everything that a graph depends on. Rows are in this order: plain, identity, blurred.
struct ChangeShape {
    using Names = std::shared_ptr<const std::set<std::string>>;  // of transformer blocks

    LevelSizes levels;
    int64_t plain = 0, identity = 0, blurred = 0;  // rows
    Names identity_layers, blurred_layers;
    bool uniform = false;  // blurred so much that a query is the mean of all
    bool freeu   = false;
    float s[2] = {1, 1}, b[2] = {1, 1};  // of FreeU, for the first and the second block of the way up

    std::string key() const;
    bool blurs(size_t level) const;  // whether blurred layers are at a level
};

class UnetChange {
public:
    // Declares the inputs, in the order of ChangeValues::inputs.
    UnetChange(GraphBuilder& g, const ChangeShape& shape);

    // attention() of the block's own tokens.
    ggml_tensor* self_attention(GraphBuilder& g, const AttentionSite& site, ggml_tensor* q, ggml_tensor* k,
                                ggml_tensor* v) const;

    // FreeU (arXiv:2309.11497) before x and a skip are joined in a block of the way up.
    void freeu(GraphBuilder& g, size_t block, ggml_tensor** x, ggml_tensor** skip) const;

private:
    ggml_tensor* blur(GraphBuilder& g, const AttentionSite& site, ggml_tensor* q) const;
    size_t level_of(const AttentionSite& site) const;

    const ChangeShape& shape_;
    struct Blur {
        ggml_tensor *across = nullptr, *down = nullptr;  // [w, w] and [h, h]
    };
    std::vector<Blur> blurs_;  // by level
    struct Waves {
        ggml_tensor *from = nullptr, *to = nullptr;  // [cells, waves] and [waves, cells]
    };
    Waves waves_[2];
};

// What a graph of a shape is given.
class ChangeValues {
public:
    ChangeValues(const ChangeShape& shape, double blur_sigma);

    // Those of the rows that a shape describes.
    void inputs(const ChangeShape& shape, std::vector<HostInput>* to) const;

private:
    std::vector<std::vector<float>> blurs_;  // two for each level that has any
    std::vector<std::vector<float>> waves_;  // four, or none
};

// The number of waves that FreeU weakens: the means, and the longest wave of each direction by its cosine and its sine.
constexpr int64_t kFreeuWaves = 7;

}  // namespace dg
