// Activations as the products of kernels/matmul.h want them, with what comes before a linear layer done on the way.
#pragma once

#include "ggml.h"

namespace dg {

// What is done to tokens of C values on the way. A layer has C inputs, after kGeglu C / 2.
enum class TokenMap {
    kNone,
    kLayerNorm,
    kScaled,     // times the weight [C]
    kGeglu,      // first half times gelu(second half)
    kGelu,       // by the error function
    kQuickGelu,  // x * sigmoid(1.702 x)
};

// Graph node: x [C, T, N, 1] F32 -> BF16 in groups of 16 tokens, each [in / 2][token][pair], the last one filled up with zeros:
// [16 * in, groups]. in is a multiple of 32. For the F32 products of AVX2: [32, padded_rows(T x N), in / 32] F32
// (kernels/product_f32.h). weight and bias F32 [C] are those of a layer norm, or the weight alone the scales.
ggml_tensor* pack_tokens(ggml_context* ctx, ggml_tensor* x, TokenMap map = TokenMap::kNone,
                         ggml_tensor* weight = nullptr, ggml_tensor* bias = nullptr, float eps = 0);

}  // namespace dg
