// Pictures and tokens as the F32 products of kernels/product_f32.h want them: 32 channels side by side. Called by
// kernels/pack_picture.h and kernels/pack_tokens.h, which say what the functions do.
#pragma once

#include "ggml.h"
#include "kernels/pack_picture.h"

namespace dg {

// [32, rows, channel blocks x N] F32, the rows being the (W + 2 pad) x (H + 2 pad) pixels, line by line, and some more that are
// never read (padded_rows). C need be a multiple of nothing. `doubled`: at twice the size.
ggml_tensor* pack_picture_f32(ggml_context* ctx, ggml_tensor* x, int pad, const PictureNorm* norm, bool doubled);

// As tokens: [32, padded_rows(W x H x N), C / 32]. C is a multiple of 32.
ggml_tensor* pack_pixels_f32(ggml_context* ctx, ggml_tensor* x, const PictureNorm& norm);

// What is done to tokens on the way.
enum class TokenMap { kNone, kLayerNorm, kScaled, kGeglu, kGelu, kQuickGelu };

// x [C, T, N, 1] -> [32, padded_rows(T x N), in / 32] F32; weight and bias of a layer norm, or scales as the weight.
ggml_tensor* pack_tokens_f32(ggml_context* ctx, ggml_tensor* x, TokenMap map, ggml_tensor* weight = nullptr,
                             ggml_tensor* bias = nullptr, float eps = 0);

}  // namespace dg
