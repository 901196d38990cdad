// Linear layers on CPUs with BF16 products (AMX tiles, AVX512_BF16) or with AVX2 (F32 products, kernels/matmul_f32.h). Tokens
// are packed once, in the order the products want them, and shared by all layers that read them; weights stay as ggml
// stores them.
#pragma once

#include <cstdint>

#include "ggml.h"

namespace dg {

// Whether matmul_packed can multiply by a weight [in, out] of this type on this CPU: in a multiple of 32, out of 16, and
// the type BF16 or a quantized one (widened in blocks), with F32 products also F16 or F32.
bool matmul_offered(ggml_type type, int64_t in, int64_t out);

// Graph node: weight [in, out] times tokens packed by kernels/pack_tokens.h, and where wants_q8 says so by
// kernels/pack_q8.h after it, plus bias F32 [out] and residual F32
// [out, tokens, batch] where they are not NULL -> [out, tokens, batch] F32. Sums are F32. tokens x batch is what was packed.
ggml_tensor* matmul_packed(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens, int64_t batch,
                           ggml_tensor* bias, ggml_tensor* residual);

// Graph node: the same for a weight [in, 2 C] whose upper half of rows are gates: first half times gelu(second half),
// already packed by groups of 16 tokens for a layer of C inputs (a multiple of 32). The F32 result of twice that size is
// never written. tokens is what was packed.
ggml_tensor* matmul_geglu(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens,
                          ggml_tensor* bias);

}  // namespace dg
