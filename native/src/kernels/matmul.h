// Linear layers on CPUs with BF16 products (AMX tiles, AVX512_BF16) or with AVX2 or NEON (F32 products, kernels/matmul_f32.h). Tokens
// are packed once, in the order that the products need, for all layers that read them. Weights stay as ggml stores them.
#pragma once

#include <cstdint>

#include "ggml.h"
#include "kernels/token_form.h"

namespace dg {

// Whether matmul_packed can multiply by a weight [in, out] of this type on this CPU. `in` must be a multiple of 32 and `out` a
// multiple of 16. The type must be BF16 or quantized (widened block by block); F32 products also take F16 and F32.
bool matmul_offered(ggml_type type, int64_t in, int64_t out);

// Graph node: weight [in, out] times packed tokens, plus bias F32 [out] and residual F32 [out, tokens, batch] if they are not
// NULL -> [out, tokens, batch] F32. Sums are F32. Tokens are packed in the form that form_for gives for the weight.
// tokens x batch is the number of packed tokens.
ggml_tensor* matmul_packed(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens, int64_t batch,
                           ggml_tensor* bias, ggml_tensor* residual);

// Graph node: the same for a weight [in, 2 C] whose second half of rows are gates: first half times gelu(second half). The
// result is packed in groups of 16 tokens for a layer of C inputs (a multiple of 32). The F32 result, twice as large, is never
// written. `tokens` is the number of packed tokens, `form` that of the result.
ggml_tensor* matmul_geglu(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens,
                          ggml_tensor* bias, TokenForm form = TokenForm::kWide);

// Whether matmul_keys and matmul_values can run, for so many tokens of each image.
bool writes_keys_values(int64_t tokens);

// Graph nodes: the same product, written as the packed keys or values that attention_bf16 reads. `tokens` are those of each image.
ggml_tensor* matmul_keys(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens, int64_t batch,
                         ggml_tensor* bias);
ggml_tensor* matmul_values(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens, int64_t batch,
                           ggml_tensor* bias);

}  // namespace dg
