// The change that one target of an adapter makes to one weight, as checked values. Every form here is linear in the adapter's
// weight (its strength).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daguerre.h"
#include "ggml.h"

namespace dg {

// The weight a target changes.
struct WeightShape {
    std::string name;
    int32_t kind;  // DG_MODULE_*
    int64_t in, out, kernel;  // kernel 1 of linear layers

    int64_t fan_in() const { return in * kernel * kernel; }
    bool wide() const { return kernel > 1; }  // a convolution that sees more than one pixel
};

// A change in one of the forms DG_LORA_*, with F32 values. The target's scale is already in the values.
struct Change {
    int32_t form     = DG_LORA_LOW_RANK;
    int64_t rank     = 0;  // low rank, also of the inputs
    int64_t shape[4] = {};  // Kronecker: [a, b] and [c, d]; rotations: [stages, blocks, n, n]
    std::vector<float> a, b;  // low rank: [rank][in][k][k] and [out][rank]; else as in the ABI
};

// Reads a target for a weight. A DoRA becomes two changes: a scale of the weight, and the low-rank, Kronecker or dense part
// with the magnitudes in it. A rotation of the inputs of a wide convolution becomes a dense change. Both need the weight itself
// in `base`, [out][in][k][k]. Errors name the module.
std::vector<Change> read_changes(const dg_lora_target& target, const WeightShape& weight,
                                 const std::vector<float>& base);

// Whether read_changes needs the base weight.
bool needs_base(const dg_lora_target& target, const WeightShape& weight);

// w += factor * change. w is F32 in PyTorch's order; base is w before any change. At most `threads` threads share the work.
void add_change(const Change& change, const WeightShape& weight, float factor, const std::vector<float>& base, float* w,
                int32_t threads);

// w += weight * the target's change. `shape` is the shape of w in PyTorch's order: a weight has two or four dimensions, a bias
// or a norm has one.
void merge_change(const dg_lora_target& target, double weight, float* w, int32_t dims, const int64_t* shape);

}  // namespace dg
