// Mean and variance of groups of channels on the CPU.
#pragma once

#include "ggml.h"

namespace dg {

// x [W, H, C, 1] with contiguous rows, possibly a view -> [2, groups]: mean and variance.
ggml_tensor* find_moments(ggml_context* ctx, ggml_tensor* x, int groups);

}  // namespace dg
