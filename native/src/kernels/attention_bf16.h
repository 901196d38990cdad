// Multi-head attention by BF16 products (AMX tiles, AVX512_BF16). It computes 32 queries at a time, so that their scores stay in
// the cache. The whole matrix of scores is never in memory.
#pragma once

#include <cstdint>

#include "ggml.h"
#include "kernels/token_form.h"

namespace dg {

// Whether attention_bf16 can run: BF16 products, and a head of a multiple of 32 values.
bool attention_offered(int64_t head_size);

// Packed keys and values of Tk tokens and U images. matmul_keys and matmul_values (kernels/matmul.h) write them too.
struct KeysValues {
    ggml_tensor *keys, *values;
    int64_t tokens;
};

// Graph nodes: k and v [C, Tk, U], F32 and contiguous.
KeysValues pack_keys_values(ggml_context* ctx, ggml_tensor* k, ggml_tensor* v);

// Graph node: q [C, Tq, N], F32 and contiguous, C = heads x head size; mask F32 [Tk, Tq] or NULL is added to the scores
// -> softmax(q k^T * scale + mask) v, [C, Tq, N] F32. Products are BF16, sums and the softmax F32. of_row I32 [N]: for each
// image of q, which keys and values it uses, 0 to U-1. NULL: each image uses its own, and U is N.
ggml_tensor* attention_bf16(ggml_context* ctx, ggml_tensor* q, const KeysValues& kv, int64_t heads, ggml_tensor* mask,
                            ggml_tensor* of_row);

// Graph node: the same, packed as by kernels/pack_tokens.h. Tq must be a multiple of 16.
ggml_tensor* attention_packed(ggml_context* ctx, ggml_tensor* q, const KeysValues& kv, int64_t heads, ggml_tensor* mask,
                              ggml_tensor* of_row, TokenForm form);

}  // namespace dg
