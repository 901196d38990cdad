// Small parts that the products share. For kernels/*.cpp only. Most exist only if AVX512_BF16 is compiled in.
#pragma once

#include <cstdint>

#include "kernels/amx.h"
#include "kernels/simd.h"

namespace dg {

inline int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
inline int64_t round_up(int64_t n, int64_t to) {
    return ceil_div(n, to) * to;
}

}  // namespace dg

#if defined(__AVX512BF16__)

namespace dg {

// Configures the thread's eight tile registers as 16 rows of 64 bytes, if AMX is used, and releases them at its end.
class TileScope {
public:
    explicit TileScope(bool amx) : amx_(amx) {
#if defined(__AMX_BF16__)
        if (amx_) {
            struct alignas(64) Config {
                uint8_t palette          = 1;
                uint8_t start_row        = 0;
                uint8_t reserved[14]     = {};
                uint16_t bytes_a_row[16] = {};
                uint8_t rows[16]         = {};
            } config;
            for (int i = 0; i < 8; i++) {
                config.bytes_a_row[i] = 64;
                config.rows[i]        = kTile;
            }
            _tile_loadconfig(&config);
        }
#endif
    }
    ~TileScope() {
#if defined(__AMX_BF16__)
        if (amx_) {
            _tile_release();
        }
#endif
    }
    TileScope(const TileScope&)            = delete;
    TileScope& operator=(const TileScope&) = delete;

    bool amx() const { return amx_; }

private:
    bool amx_;
};

// Transposes 16 x 16 values of 32 bits.
inline void transpose16(__m512i r[16]) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i]     = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i]     = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i]      = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4]  = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8]  = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        r[i]      = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8]  = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4]  = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

// 32 F32 values to BF16, rounded to nearest even.
inline __m512i narrow(__m512 low, __m512 high) {
    return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}
inline __m512i to_bf16(const float* x) {
    return narrow(_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16));
}

// Two vectors to BF16, value by value side by side: the first in the low halves.
inline __m512i pair_up(__m512 first, __m512 second) {
    const __m512i low  = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(first)));
    const __m512i high = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(second)));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// The values of a vector of BF16 pairs, each pair's first or second.
inline __m512 first_of(__m512i pairs) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

inline __m512 second_of(__m512i pairs) {
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int32_t>(0xffff0000U))));
}

}  // namespace dg

#endif
