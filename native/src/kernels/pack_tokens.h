// Packs activations for the products of kernels/matmul.h. The step before a linear layer (a norm, an activation) is computed
// while packing.
#pragma once

#include "ggml.h"
#include "kernels/token_form.h"

namespace dg {

// The step that is computed while packing tokens of C values. The layer has C inputs; after kGeglu it has C / 2.
enum class TokenMap {
    kNone,
    kLayerNorm,
    kScaled,  // times the weight [C]
    kGeglu,  // first half times gelu(second half)
    kGelu,  // by the error function
    kQuickGelu,  // x * sigmoid(1.702 x)
};

// Graph node: x [C, T, N, 1] F32 -> BF16 in groups of 16 tokens, each [in / 2][token][pair]: [16 * in, groups]. The last group is
// filled up with zeros. `in` is a multiple of 32. As bytes: I8 [18 * in, groups] (kernels/q8_block.h). For the F32 products:
// [32, padded_rows(T x N), in / 32] F32 (kernels/product_f32.h). weight and bias, F32 [C], belong to a layer norm; for kScaled the weight
// holds the factors.
ggml_tensor* pack_tokens(ggml_context* ctx, ggml_tensor* x, TokenMap map = TokenMap::kNone,
                         ggml_tensor* weight = nullptr, ggml_tensor* bias = nullptr, float eps = 0,
                         TokenForm form = TokenForm::kWide);

}  // namespace dg
