// What one target of an adapter does to one weight, as values: checked, and turned into forms that are linear in the
// weight it is applied with.
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
    int32_t kind;            // DG_MODULE_*
    int64_t in, out, kernel;  // kernel 1 of linear layers

    int64_t fan_in() const { return in * kernel * kernel; }
    bool wide() const { return kernel > 1; }  // a convolution that sees more than one pixel
};

// One of DG_LORA_*'s forms with F32 values; scale already taken in.
struct Change {
    int32_t form     = DG_LORA_LOW_RANK;
    int64_t rank     = 0;           // low rank, also of the inputs
    int64_t shape[4] = {};      // Kronecker: [a, b] and [c, d]; rotations: [stages, blocks, n, n]
    std::vector<float> a, b;    // low rank: [rank][in][k][k] and [out][rank]; else as in the ABI
};

// Reads a target for a weight. A DoRA becomes two changes: a scale of the weight and what was low rank, Kronecker or dense,
// with the magnitudes taken in, and a rotation of a wide convolution's inputs a dense change; `base` then gives the weight,
// [out][in][k][k]. Errors name the module.
std::vector<Change> read_changes(const dg_lora_target& target, const WeightShape& weight,
                                 const std::vector<float>& base);

// Whether read_changes needs the base weight.
bool needs_base(const dg_lora_target& target, const WeightShape& weight);

// w += the change at this factor, w as F32 in PyTorch's order; base is w before any change. Shared out among so many threads.
void add_change(const Change& change, const WeightShape& weight, float factor, const std::vector<float>& base, float* w,
                int32_t threads);

// w += weight times a target's change, w of the given shape in PyTorch's order: two or four dimensions of a weight, one of a
// bias or a norm.
void merge_change(const dg_lora_target& target, double weight, float* w, int32_t dims, const int64_t* shape);

}  // namespace dg
