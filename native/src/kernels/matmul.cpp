#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/matmul_f32.h"
#include "kernels/node.h"
#include "kernels/panels.h"
#include "kernels/product_f32.h"
#include "kernels/q8_block.h"
#include "kernels/vecmath.h"

namespace dg {

bool matmul_offered(ggml_type type, int64_t in, int64_t out) {
    const bool any = f32_products(), narrow = bf16_products() && (type == GGML_TYPE_BF16 || ggml_is_quantized(type));
    return (any || narrow) && in % kTileDepth == 0 && out % kTile == 0;
}

namespace {

#if defined(__AVX512BF16__)

// Writes sums [row][token] as y[token][row], with the bias and the residual added.
void store(const float* sums, const float* bias, const float* residual, int64_t tokens, float* y, int64_t stride) {
    __m512i r[kTile];
    for (int i = 0; i < kTile; i++) {
        r[i] = _mm512_loadu_si512(sums + i * kTile);
    }
    transpose16(r);
    const __m512 add = bias != nullptr ? _mm512_loadu_ps(bias) : _mm512_setzero_ps();
    for (int64_t i = 0; i < tokens; i++) {
        __m512 v = _mm512_add_ps(_mm512_castsi512_ps(r[i]), add);
        if (residual != nullptr) {
            v = _mm512_add_ps(v, _mm512_loadu_ps(residual + i * stride));
        }
        _mm512_storeu_ps(y + i * stride, v);
    }
}

// Half a block of packed tokens: 16 inputs of 16 tokens.
struct alignas(64) Pairs {
    char bytes[kTileBytes / 2];
};

void store_pairs(const __m512i pairs[kTile / 2], char* to) {
    for (int64_t i = 0; i < kTile / 2; i++) {
        _mm512_storeu_si512(to + i * 64, pairs[i]);
    }
}

void run(ggml_tensor* dst, int ith, int nth, void*) {
    const ggml_tensor *packed = dst->src[0], *weight = dst->src[1];
    const float *bias = floats_of(dst->src[2]), *residual = floats_of(dst->src[3]);
    const int64_t out = weight->ne[1], tokens = ggml_nelements(dst) / out;
    auto* y = static_cast<float*>(dst->data);
    multiply_all(packed, weight, pairs_of_tiles(weight), ith, nth,
                 [&](const float* sums, int64_t row, int64_t row_tiles, int64_t group, int64_t groups) {
                     for (int64_t r = 0; r < row_tiles; r++) {
                         for (int64_t h = 0; h < groups; h++) {
                             const int64_t token = (group + h) * kTile, at = row + r * kTile;
                             store(sums + (r * 2 + h) * kSumSize, bias != nullptr ? bias + at : nullptr,
                                   residual != nullptr ? residual + token * out + at : nullptr,
                                   std::min<int64_t>(kTile, tokens - token), y + token * out + at, out);
                         }
                     }
                 });
}

// Rows of sums are already in the order that packed tokens have: pairs of rows are pairs of the next layer's inputs. Bytes have a
// scale for 32 inputs, which are two panels: the first one's pairs wait for the second's.
void run_geglu(ggml_tensor* dst, int ith, int nth, void*) {
    const ggml_tensor* weight = dst->src[1];
    const float* bias         = floats_of(dst->src[2]);
    const int64_t half        = weight->ne[1] / 2;
    const bool bytes          = dst->type == GGML_TYPE_I8;
    thread_local std::vector<Pairs> waiting;  // of a group
    waiting.resize(std::max(waiting.size(), bytes ? static_cast<size_t>(dst->ne[1]) : 0));
    const auto value = [&](const float* sums, int64_t row, int64_t i) {
        __m512 x = _mm512_load_ps(sums + i * kTile), gate = _mm512_load_ps(sums + 2 * kSumSize + i * kTile);
        if (bias != nullptr) {
            x    = _mm512_add_ps(x, _mm512_set1_ps(bias[row + i]));
            gate = _mm512_add_ps(gate, _mm512_set1_ps(bias[half + row + i]));
        }
        return _mm512_mul_ps(x, vec::gelu(gate));
    };
    multiply_all(dst->src[0], weight, {half / kTile, kTile, half, bytes ? 2 : 1}, ith, nth,
                 [&](const float* sums, int64_t row, int64_t, int64_t group, int64_t groups) {
                     for (int64_t h = 0; h < groups; h++) {
                         char* out = static_cast<char*>(dst->data) + (group + h) * static_cast<int64_t>(dst->nb[1]);
                         __m512i pairs[kTile];
                         const int64_t second = bytes ? row / kTile % 2 * kTile / 2 : 0;  // the panel's first pair
                         for (int64_t i = 0; i < kTile / 2; i++) {
                             pairs[second + i] = pair_up(value(sums + h * kSumSize, row, 2 * i),
                                                         value(sums + h * kSumSize, row, 2 * i + 1));
                         }
                         if (!bytes) {
                             store_pairs(pairs, out + row * kTile * 2);
                             continue;
                         }
                         Pairs& first = waiting[static_cast<size_t>(group + h)];
                         if (second == 0) {
                             store_pairs(pairs, first.bytes);
                             continue;
                         }
                         for (int64_t i = 0; i < kTile / 2; i++) {
                             pairs[i] = _mm512_load_si512(first.bytes + i * 64);
                         }
                         store_tokens(true, pairs, out, row - kTile);
                     }
                 });
}

// Calls store(sums, row, group) for each tile of a product that keys or values are made of.
template <typename Store>
void run_tiles(ggml_tensor* dst, int ith, int nth, Store store) {
    multiply_all(dst->src[0], dst->src[1], pairs_of_tiles(dst->src[1]), ith, nth,
                 [&](const float* sums, int64_t row, int64_t row_tiles, int64_t group, int64_t groups) {
                     for (int64_t r = 0; r < row_tiles; r++) {
                         for (int64_t h = 0; h < groups; h++) {
                             store(sums + (r * 2 + h) * kSumSize, row + r * kTile, group + h);
                         }
                     }
                 });
}

// Keys have the order of packed tokens.
void run_keys(ggml_tensor* dst, int ith, int nth, void*) {
    const float* bias = floats_of(dst->src[2]);
    run_tiles(dst, ith, nth, [&](const float* sums, int64_t row, int64_t group) {
        const auto value = [&](int64_t i) {
            const __m512 x = _mm512_load_ps(sums + i * kTile);
            return bias != nullptr ? _mm512_add_ps(x, _mm512_set1_ps(bias[row + i])) : x;
        };
        __m512i pairs[kTile / 2];
        for (int64_t i = 0; i < kTile / 2; i++) {
            pairs[i] = pair_up(value(2 * i), value(2 * i + 1));
        }
        store_pairs(pairs, static_cast<char*>(dst->data) + group * static_cast<int64_t>(dst->nb[1]) + row * kTile * 2);
    });
}

// Values are pairs of tokens: 16 tokens are half of a group.
void run_values(ggml_tensor* dst, int ith, int nth, void*) {
    const float* bias = floats_of(dst->src[2]);
    run_tiles(dst, ith, nth, [&](const float* sums, int64_t row, int64_t group) {
        const __m512 add = bias != nullptr ? _mm512_loadu_ps(bias + row) : _mm512_setzero_ps();
        __m512i r[kTile], pairs[kTile / 2];
        for (int i = 0; i < kTile; i++) {
            r[i] = _mm512_load_si512(sums + i * kTile);
        }
        transpose16(r);
        const auto value = [&](int64_t i) { return _mm512_add_ps(_mm512_castsi512_ps(r[i]), add); };
        for (int64_t i = 0; i < kTile / 2; i++) {
            pairs[i] = pair_up(value(2 * i), value(2 * i + 1));
        }
        store_pairs(pairs, static_cast<char*>(dst->data) + group / 2 * static_cast<int64_t>(dst->nb[1]) +
                               row * kTileDepth * 2 + group % 2 * kTileBytes / 2);
    });
}

#else

// Never run: matmul_offered() is false.
void run(ggml_tensor*, int, int, void*) {}
void run_geglu(ggml_tensor*, int, int, void*) {}
void run_keys(ggml_tensor*, int, int, void*) {}
void run_values(ggml_tensor*, int, int, void*) {}

#endif

}  // namespace

static const char* name_of_product(const ggml_tensor* packed) {
    return f32_products() ? kMatmulF32 : packed->type == GGML_TYPE_I8 ? kMatmulQ8 : kMatmulBf16;
}

ggml_tensor* matmul_packed(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens, int64_t batch,
                           ggml_tensor* bias, ggml_tensor* residual) {
    return custom_node(ctx, name_of_product(packed), f32_products() ? multiply_f32 : run, GGML_TYPE_F32,
                       {weight->ne[1], tokens, batch, 1}, {packed, weight, bias, residual});
}

ggml_tensor* matmul_geglu(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens,
                          ggml_tensor* bias, TokenForm form) {
    const int64_t half = weight->ne[1] / 2;
    if (f32_products()) {
        return custom_node(ctx, kGegluF32, multiply_geglu_f32, GGML_TYPE_F32, {kBlock, packed->ne[1], half / kBlock, 1},
                           {packed, weight, bias}, static_cast<uintptr_t>(tokens));
    }
    const bool bytes = form == TokenForm::kBytes;
    return custom_node(ctx, packed->type == GGML_TYPE_I8 ? kGegluQ8 : kGegluBf16, run_geglu,
                       bytes ? GGML_TYPE_I8 : GGML_TYPE_BF16, packed_shape(bytes, half, packed->ne[1]),
                       {packed, weight, bias});
}

bool writes_keys_values(int64_t tokens) {
    return bf16_products() && tokens % kTileDepth == 0;
}

ggml_tensor* matmul_keys(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens, int64_t batch,
                         ggml_tensor* bias) {
    return custom_node(ctx, name_of_product(packed), run_keys, GGML_TYPE_BF16,
                       {weight->ne[1] * kTile, tokens / kTile, batch, 1}, {packed, weight, bias});
}

ggml_tensor* matmul_values(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens, int64_t batch,
                           ggml_tensor* bias) {
    return custom_node(ctx, name_of_product(packed), run_values, GGML_TYPE_BF16,
                       {weight->ne[1] * kTileDepth, tokens / kTileDepth, batch, 1}, {packed, weight, bias});
}

}  // namespace dg
