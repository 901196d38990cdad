// Linear layers on CPUs with BF16 products (AMX tiles, AVX512_BF16). Tokens are packed once, in the order the
// products want them, and shared by all layers that read them; weights stay as ggml stores them.
#pragma once

#include <cstdint>

#include "ggml.h"

namespace dg {

// Whether matmul_packed can multiply by a weight [in, out] of this type on this CPU: BF16 or a quantized type
// (widened to BF16 in blocks), in a multiple of 32, out of 16.
bool matmul_offered(ggml_type type, int64_t in, int64_t out);

// Graph node: x [in, T, N, 1] F32 -> BF16 in groups of 16 tokens, each [in / 2][token][pair], the last one filled
// up with zeros: a tensor of [16 * in, groups].
ggml_tensor* pack_tokens(ggml_context* ctx, ggml_tensor* x);

// Graph node: the product of a weight [in, out] and tokens packed from x, plus bias F32 [out] where it
// is not NULL -> [out, T, N, 1] F32. Sums are F32.
ggml_tensor* matmul_packed(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, const ggml_tensor* x,
                           ggml_tensor* bias);

}  // namespace dg
