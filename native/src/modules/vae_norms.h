// The group norms of a VAE. A tile of a picture can use given statistics in place of its own.
#pragma once

#include <vector>

#include "modules/ops.h"

namespace dg {

// The part of a tile whose statistics are reported, in the units of the tile's input, [width, height].
struct VaeCore {
    int64_t left, top, width, height;
    int64_t of_width;  // the width of the input; the other numbers are scaled by it
};

// Builds the group norms of one graph, in their order. By default each norm uses the statistics of its own input.
class VaeNorms {
public:
    explicit VaeNorms(int32_t groups) : groups_(groups) {}

    // Norm by given statistics: for each norm [2, groups], means and reciprocal deviations.
    void take(std::vector<ggml_tensor*> statistics) { given_ = std::move(statistics); }

    // Report each norm's input over the core: an output [2, groups] of means and variances. Outputs come in the order of
    // the norms, so that a graph frees each input as soon as it is done with it.
    void report(const VaeCore& core) {
        reports_ = true;
        core_    = core;
    }

    ggml_tensor* build(GraphBuilder& g, const Norm& norm, ggml_tensor* x);

    static constexpr float kEps = 1e-6f;

private:
    const int32_t groups_;
    std::vector<ggml_tensor*> given_;
    bool reports_ = false;
    VaeCore core_{};
    size_t built_ = 0;
};

}  // namespace dg
