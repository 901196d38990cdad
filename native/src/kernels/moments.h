// Mean and variance of groups of channels on the CPU.
#pragma once

#include "ggml.h"

namespace dg {

// Graph node: x [W, H, C, 1] with contiguous rows, possibly a view -> [2, groups]: mean and variance.
ggml_tensor* find_moments(ggml_context* ctx, ggml_tensor* x, int groups);

// Graph node: x [W, H, C, N] F32 -> [2, groups, N] F32: each group's mean and 1 / sqrt(variance + eps).
ggml_tensor* group_stats(ggml_context* ctx, ggml_tensor* x, int groups, float eps);

}  // namespace dg
