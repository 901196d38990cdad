// Pictures as the BF16 products want them, with group norm and SiLU done on the way: nothing of it is written to memory
// in F32.
#pragma once

#include <cstdint>

#include "ggml.h"

namespace dg {

// What is done to a picture's values while they are packed.
struct PictureNorm {
    ggml_tensor* stats  = nullptr;  // of group_stats
    ggml_tensor* weight = nullptr;  // F32 [C]
    ggml_tensor* bias   = nullptr;  // F32 [C]
    bool silu           = false;  // x * sigmoid(x) after the norm
};

// Graph node: x [W, H, C, N] F32 -> [2, groups, N] F32: each group's mean and 1 / sqrt(variance + eps).
ggml_tensor* group_stats(ggml_context* ctx, ggml_tensor* x, int groups, float eps);

// Graph node: x [W, H, C, N] F32 -> BF16 pairs of channels inside a border of `pad` zeros, C filled up with zeros to a
// multiple of 32: [2 (W + 2 pad), H + 2 pad, C / 2, N]. norm may be NULL.
ggml_tensor* pack_picture(ggml_context* ctx, ggml_tensor* x, int pad, const PictureNorm* norm);

// The same of x enlarged to twice its width and height, each pixel becoming four.
ggml_tensor* pack_doubled(ggml_context* ctx, ggml_tensor* x, int pad);

// Graph node: the pixels of x [W, H, C, N] F32 as tokens of C values, packed as by kernels/pack_tokens.h. C must be a
// multiple of 32 and W x H of 16.
ggml_tensor* pack_pixels(ggml_context* ctx, ggml_tensor* x, const PictureNorm& norm);

}  // namespace dg
