// Linear layers in F32 on AVX2 and NEON (kernels/product_f32.h), for the nodes of kernels/matmul.h. Tokens are packed by
// kernels/pack_tokens.h. Weights stay as ggml stores them and are widened slice by slice.
#pragma once

#include "ggml.h"

namespace dg {

void multiply_f32(ggml_tensor* dst, int ith, int nth, void*);

// Its userdata is the number of tokens.
void multiply_geglu_f32(ggml_tensor* dst, int ith, int nth, void* userdata);

}  // namespace dg
