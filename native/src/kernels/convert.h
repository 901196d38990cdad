// Element conversion of weights while loading, for the instruction sets the kernels are built for.
#pragma once

#include <cstdint>

#include "ggml.h"

namespace dg {

// Converts n elements between F32, F16 and BF16 (round to nearest even) and returns true; false for
// any other pair, with nothing written.
bool convert_floats(const void* src, ggml_type src_type, void* dst, ggml_type dst_type, int64_t n);

}  // namespace dg
