// Linear layers in F32 on AVX2 (kernels/product_f32.h), on tokens packed by kernels/pack_tokens.h; weights stay as ggml
// stores them and are widened slice by slice. Called by kernels/matmul.h, which says what the functions do.
#pragma once

#include "ggml.h"

namespace dg {

ggml_tensor* matmul_f32(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens, int64_t batch,
                        ggml_tensor* bias, ggml_tensor* residual);
ggml_tensor* matmul_geglu_f32(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens,
                              ggml_tensor* bias);

}  // namespace dg
