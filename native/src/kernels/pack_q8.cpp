#include "kernels/pack_q8.h"

#include <cstdint>

#include "kernels/node.h"
#include "kernels/product_q8.h"

namespace dg {

#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)

namespace {

// AMX's tiles multiply BF16 faster than these products do bytes.
bool q8_products() {
    return !amx_usable();
}

// The values of a vector of pairs, each pair's first or second.
__m512 first_of(__m512i pairs) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

__m512 second_of(__m512i pairs) {
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int32_t>(0xffff0000U))));
}

// One block of a group: 16 vectors of pairs [pair][token] -> scales and bytes.
void pack_block(const char* from, char* to) {
    __m512i pairs[kTile];
    __m512i largest = _mm512_setzero_si512();  // bits of absolute values: a NaN is above all numbers, and so stays
    for (int64_t p = 0; p < kTile; p++) {
        pairs[p]        = _mm512_loadu_si512(from + p * 64);
        const __m512i a = _mm512_castps_si512(_mm512_abs_ps(first_of(pairs[p])));
        const __m512i b = _mm512_castps_si512(_mm512_abs_ps(second_of(pairs[p])));
        largest         = _mm512_max_epu32(largest, _mm512_max_epu32(a, b));
    }
    const __m512 most     = _mm512_castsi512_ps(largest);
    const __mmask16 any   = _mm512_cmpneq_epi32_mask(largest, _mm512_setzero_si512());
    const __m512 inverse  = _mm512_maskz_div_ps(any, _mm512_set1_ps(127.0f), most);
    const auto byte_value = [&](__m512 x) {
        return _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x, inverse)), _mm512_set1_epi32(kQ8Zero));
    };
    _mm512_storeu_ps(to, _mm512_mul_ps(most, _mm512_set1_ps(1.0f / 127.0f)));
    to += kTile * sizeof(float);
    for (int64_t p = 0; p < kTile; p += 2, to += 64) {
        const __m512i low =
            _mm512_or_si512(byte_value(first_of(pairs[p])), _mm512_slli_epi32(byte_value(second_of(pairs[p])), 8));
        const __m512i high = _mm512_or_si512(byte_value(first_of(pairs[p + 1])),
                                             _mm512_slli_epi32(byte_value(second_of(pairs[p + 1])), 8));
        _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
}

void run(ggml_tensor* dst, int ith, int nth, void*) {
    const ggml_tensor* packed = dst->src[0];
    const int64_t blocks = packed->ne[0] / (kTile * kQ8Block), all = blocks * packed->ne[1];
    for (int64_t i = all * ith / nth; i < all * (ith + 1) / nth; i++) {
        pack_block(static_cast<const char*>(packed->data) + i * kTileBytes,
                   static_cast<char*>(dst->data) + i * kQ8TokenBlock);
    }
}

}  // namespace

bool wants_q8(ggml_type type) {
    return ggml_is_quantized(type) && q8_products();
}

ggml_tensor* pack_q8(ggml_context* ctx, ggml_tensor* packed) {
    return custom_node(ctx, kPackQ8, run, GGML_TYPE_I8,
                       {packed->ne[0] / (kTile * kQ8Block) * kQ8TokenBlock, packed->ne[1], 1, 1}, {packed});
}

#else

bool wants_q8(ggml_type) {
    return false;
}

// Never called: wants_q8() is false.
ggml_tensor* pack_q8(ggml_context*, ggml_tensor*) {
    return nullptr;
}

#endif

}  // namespace dg
