// Tokens as bytes: how a block is made and where it lies. For kernels/*.cpp only.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/product_bf16.h"

namespace dg {

// Tokens are packed in groups of 16 and blocks of 32 inputs: first the scales F32 [token], then the bytes [in / 4][token][4]. A
// byte is its value plus 128, because one factor of the instruction is unsigned.
constexpr int64_t kQ8Block      = 32;
constexpr int64_t kQ8TokenBlock = kTile * (static_cast<int64_t>(sizeof(float)) + kQ8Block);
constexpr int32_t kQ8Zero       = 128;

// The shape of a tensor of so many groups of packed tokens, as BF16 or as bytes.
inline std::array<int64_t, 4> packed_shape(bool bytes, int64_t in, int64_t groups) {
    return {bytes ? in / kQ8Block * kQ8TokenBlock : in * kTile, groups, 1, 1};
}

}  // namespace dg

#if defined(__AVX512BF16__)

namespace dg {

// One block of a group: 16 vectors of BF16 pairs [pair][token] -> scales and bytes. Each token is scaled by its largest value.
inline void store_q8_block(const __m512i pairs[kTile], char* to) {
    __m512i largest = _mm512_setzero_si512();  // bits of absolute values: a NaN is above all numbers, and so stays
    for (int64_t p = 0; p < kTile; p++) {
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

// One block of a group of tokens in either form: `data` is the group's beginning, `in` the block's first input.
inline void store_tokens(bool bytes, const __m512i pairs[kTile], char* data, int64_t in) {
    if (bytes) {
        store_q8_block(pairs, data + in / kQ8Block * kQ8TokenBlock);
        return;
    }
    data += in * kTile * 2;
    for (int64_t p = 0; p < kTile; p++, data += 64) {
        _mm512_storeu_si512(data, pairs[p]);
    }
}

}  // namespace dg

#endif
