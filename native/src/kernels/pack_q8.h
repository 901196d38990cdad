// Packed tokens as bytes. On CPUs with AVX512_VNNI, quantized weights are multiplied by them.
#pragma once

#include "ggml.h"

namespace dg {

// Whether matmul_packed and matmul_geglu want pack_q8's tokens for weights of this type on this CPU.
bool wants_q8(ggml_type type);

// Graph node: tokens packed in BF16 (kernels/pack_tokens.h), rounded to bytes -> I8 [18 * in, groups]. Each block of 32 inputs
// of a token is scaled by its largest value.
ggml_tensor* pack_q8(ggml_context* ctx, ggml_tensor* packed);

}  // namespace dg
