// Changes that depend on the weight they are made to: of its inputs, and rotations in stages (OFT, BOFT).
#pragma once

#include <cstdint>
#include <vector>

#include "lora/change.h"

namespace dg {

// Whether stages of shape [stages, blocks, n, n] rotate so many features.
bool rotates_all(const int64_t* shape, int64_t features);

// How many blocks of a stage are interleaved: the halves of a block lie so many times n/2 features apart.
inline int64_t interleaved(int64_t stage) {
    return int64_t{1} << stage;
}

// As add_change, of DG_LORA_IN_LOW_RANK and of the two rotations.
void add_in_low_rank(const Change& c, const WeightShape& w, float factor, const std::vector<float>& base, float* out,
                     int32_t threads);
void add_rotated(const Change& c, const WeightShape& w, float factor, const std::vector<float>& base, float* out,
                 int32_t threads);

}  // namespace dg
