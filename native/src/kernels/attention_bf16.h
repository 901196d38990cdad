// Multi-head attention by BF16 products (AMX tiles, AVX512_BF16). It computes 32 queries at a time, so that their scores stay in
// the cache. The whole matrix of scores is never in memory.
#pragma once

#include <cstdint>

#include "ggml.h"

namespace dg {

// Whether attention_bf16 can run: BF16 products, and a head of a multiple of 32 values.
bool attention_offered(int64_t head_size);

// Graph nodes: q [C, Tq, N], k and v [C, Tk, U], F32 and contiguous, C = heads x head size; mask F32 [Tk, Tq] or NULL is
// added to the scores -> softmax(q k^T * scale + mask) v, [C, Tq, N] F32. Products are BF16, sums and the softmax F32.
// of_row I32 [N]: for each image of q, which keys and values it uses, 0 to U-1. NULL: each image uses its own, and U is N.
ggml_tensor* attention_bf16(ggml_context* ctx, ggml_tensor* q, ggml_tensor* k, ggml_tensor* v, int64_t heads,
                            ggml_tensor* mask, ggml_tensor* of_row);

}  // namespace dg
