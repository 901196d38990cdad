// Changes that depend on the base weight: the low rank of a weight's inputs (GLoRA), and rotations in stages (OFT, BOFT).
#pragma once

#include <cstdint>
#include <vector>

#include "lora/change.h"

namespace dg {

// Whether stages of shape [stages, blocks, n, n] rotate exactly `features` features.
bool rotates_all(const int64_t* shape, int64_t features);

// The number of blocks that are interleaved in a stage. The two halves of a block lie this number times n/2 features apart.
inline int64_t interleaved(int64_t stage) {
    return int64_t{1} << stage;
}

// add_change for DG_LORA_IN_LOW_RANK, and for the two forms of rotation.
void add_in_low_rank(const Change& c, const WeightShape& w, float factor, const std::vector<float>& base, float* out,
                     int32_t threads);
void add_rotated(const Change& c, const WeightShape& w, float factor, const std::vector<float>& base, float* out,
                 int32_t threads);

}  // namespace dg
