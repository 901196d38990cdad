// Packs pictures for the products of kernels/conv2d.h. Group norm and SiLU are computed while packing, so that their results are
// not written to memory first.
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

// Graph node: x [W, H, C, N] F32 inside a border of `pad` zeros -> BF16 pairs of channels, C filled up with zeros to a multiple
// of 32: [2 (W + 2 pad), H + 2 pad, C / 2, N]. For the F32 products: [32, rows, channel blocks x N] F32. Its rows are the
// pixels with their border, line by line, then some rows that are never read (padded_rows). norm may be NULL. `doubled`: twice
// the width and height, each pixel becomes four; then norm must be NULL.
ggml_tensor* pack_picture(ggml_context* ctx, ggml_tensor* x, int pad, const PictureNorm* norm, bool doubled = false);

// Graph node: the pixels of x [W, H, C, N] F32 as tokens of C values, packed as by kernels/pack_tokens.h. C must be a
// multiple of 32 and W x H of 16.
ggml_tensor* pack_pixels(ggml_context* ctx, ggml_tensor* x, const PictureNorm& norm);

}  // namespace dg
