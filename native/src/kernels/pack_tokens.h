// Activations as the products of kernels/matmul.h want them, with what comes before a linear layer done on the way. On
// AVX2 they stay F32 (kernels/pack_f32.h); BF16 products have this order:
#pragma once

#include "ggml.h"

namespace dg {

// Graph nodes: x [C, T, N, 1] F32 -> BF16 in groups of 16 tokens, each [in / 2][token][pair], the last one filled up
// with zeros: a tensor of [16 * in, groups]. in is a multiple of 32.
ggml_tensor* pack_tokens(ggml_context* ctx, ggml_tensor* x);  // in = C
ggml_tensor* pack_layer_norm(ggml_context* ctx, ggml_tensor* x, ggml_tensor* weight, ggml_tensor* bias, float eps);
ggml_tensor* pack_scaled(ggml_context* ctx, ggml_tensor* x, ggml_tensor* scales);  // x times scales F32 [C]
ggml_tensor* pack_geglu(ggml_context* ctx, ggml_tensor* x);  // first half times gelu(second half); in = C / 2
ggml_tensor* pack_gelu(ggml_context* ctx, ggml_tensor* x);  // by the error function
ggml_tensor* pack_quick_gelu(ggml_context* ctx, ggml_tensor* x);  // x * sigmoid(1.702 x)

}  // namespace dg
