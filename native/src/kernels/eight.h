// Eight F32 values in AVX2's and NEON's registers: what kernels/*_f32.cpp need besides vecmath.h. For kernels/*.cpp only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "ggml.h"
#include "kernels/vecmath.h"

#if defined(DG_F32_PRODUCTS)

namespace dg {

using vec::Floats;

#if defined(DG_NEON)

using Quad = float32x4_t;

inline Quad all4(float x) {
    return vdupq_n_f32(x);
}
inline Quad load4(const float* from) {
    return vld1q_f32(from);
}
inline void store4(float* to, Quad x) {
    vst1q_f32(to, x);
}
// The first four values, or the last.
inline Quad half_of(Floats x, int half) {
    return half == 0 ? x.low : x.high;
}

inline void transpose4(Quad r[4]) {
    const auto wide      = [](float32x4_t x) { return vreinterpretq_f64_f32(x); };
    const auto narrow    = [](float64x2_t x) { return vreinterpretq_f32_f64(x); };
    const float64x2_t t0 = wide(vtrn1q_f32(r[0], r[1])), t1 = wide(vtrn2q_f32(r[0], r[1]));
    const float64x2_t t2 = wide(vtrn1q_f32(r[2], r[3])), t3 = wide(vtrn2q_f32(r[2], r[3]));
    r[0] = narrow(vtrn1q_f64(t0, t2));
    r[1] = narrow(vtrn1q_f64(t1, t3));
    r[2] = narrow(vtrn2q_f64(t0, t2));
    r[3] = narrow(vtrn2q_f64(t1, t3));
}

inline void transpose8(Floats r[8]) {
    Quad a[4], b[4], c[4], d[4];  // quarters: left and right above, left and right below
    for (int i = 0; i < 4; i++) {
        a[i] = r[i].low;
        b[i] = r[i].high;
        c[i] = r[i + 4].low;
        d[i] = r[i + 4].high;
    }
    transpose4(a);
    transpose4(b);
    transpose4(c);
    transpose4(d);
    for (int i = 0; i < 4; i++) {
        r[i]     = {a[i], c[i]};
        r[i + 4] = {b[i], d[i]};
    }
}

// Eight values of F32, F16 or BF16.
template <ggml_type Type>
Floats load8(const void* from, int64_t i) {
    if constexpr (Type == GGML_TYPE_F32) {
        return vec::load(static_cast<const float*>(from) + i);
    } else {
        const uint16x8_t half = vld1q_u16(static_cast<const uint16_t*>(from) + i);
        if constexpr (Type == GGML_TYPE_F16) {
            return {vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(half))),
                    vcvt_high_f32_f16(vreinterpretq_f16_u16(half))};
        } else {
            return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(half), 16)),
                    vreinterpretq_f32_u32(vshll_high_n_u16(half, 16))};
        }
    }
}

// Eight signed bytes.
inline Floats load8_bytes(const char* from) {
    const int16x8_t x = vmovl_s8(vld1_s8(reinterpret_cast<const int8_t*>(from)));
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(x))), vcvtq_f32_s32(vmovl_high_s16(x))};
}

// The bits of an F16 value, eight times.
inline Floats all_of_half(uint16_t half) {
    const float32x4_t x = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half)));
    return {x, x};
}

// The first `count` of eight values, and zeros.
inline Floats load_first(const float* from, int64_t count) {
    float values[8] = {};
    std::memcpy(values, from, static_cast<size_t>(count) * sizeof(float));
    return vec::load(values);
}

#else

using Quad = __m128;

inline Quad all4(float x) {
    return _mm_set1_ps(x);
}
inline Quad load4(const float* from) {
    return _mm_loadu_ps(from);
}
inline void store4(float* to, Quad x) {
    _mm_storeu_ps(to, x);
}
// The first four values, or the last.
inline Quad half_of(Floats x, int half) {
    return half == 0 ? _mm256_castps256_ps128(x) : _mm256_extractf128_ps(x, 1);
}

inline void transpose4(Quad r[4]) {
    _MM_TRANSPOSE4_PS(r[0], r[1], r[2], r[3]);
}

inline void transpose8(Floats r[8]) {
    Floats t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i]     = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i]     = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        t[i]     = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    for (int i = 0; i < 8; i++) {
        r[i] = t[i];
    }
}

// Eight values of F32, F16 or BF16.
template <ggml_type Type>
Floats load8(const void* from, int64_t i) {
    if constexpr (Type == GGML_TYPE_F32) {
        return vec::load(static_cast<const float*>(from) + i);
    } else {
        const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(static_cast<const uint16_t*>(from) + i));
        if constexpr (Type == GGML_TYPE_F16) {
            return _mm256_cvtph_ps(half);
        } else {
            return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
        }
    }
}

// Eight signed bytes.
inline Floats load8_bytes(const char* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}

// The bits of an F16 value, eight times.
inline Floats all_of_half(uint16_t half) {
    return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<int16_t>(half)));
}

// The first `count` of eight values, and zeros.
inline Floats load_first(const float* from, int64_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(from, _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)), lane));
}

#endif

}  // namespace dg

#endif
