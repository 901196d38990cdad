// Vectors of F32 values as wide as the CPU has them, and functions on them. + - * / act value by value. For kernels/*.cpp only.
#pragma once

#include <cstdint>

#include "kernels/simd.h"

#if defined(__AVX512F__)

#define DG_VECTORS 1

namespace dg::vec {

using Floats             = __m512;
constexpr int64_t kWidth = 16;

inline Floats all(float x) {
    return _mm512_set1_ps(x);
}
inline Floats load(const float* from) {
    return _mm512_loadu_ps(from);
}
inline Floats fmadd(Floats a, Floats b, Floats c) {
    return _mm512_fmadd_ps(a, b, c);
}
inline Floats fnmadd(Floats a, Floats b, Floats c) {
    return _mm512_fnmadd_ps(a, b, c);
}
inline Floats abs(Floats x) {
    return _mm512_abs_ps(x);
}
inline Floats if_negative(Floats x, Floats yes, Floats no) {
    return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), yes);
}
inline float sum(Floats x) {
    return _mm512_reduce_add_ps(x);
}

// e^x: x = n ln 2 + r with |r| <= ln 2 / 2, and the Taylor polynomial of degree 6 for e^r; relative error below 2e-7.
// Values below -87 become 0, above 88 infinity.
inline Floats exp(Floats x) {
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT);
    __m512 r       = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);  // ln 2 in two parts, the first
    r              = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);  // exact in few bits
    __m512 p       = _mm512_set1_ps(1.0f / 720);
    for (const float c : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
    }
    return _mm512_scalef_ps(p, n);
}

}  // namespace dg::vec

#elif defined(DG_NEON)

#define DG_VECTORS 1

namespace dg::vec {

// Two registers of four values: results are those of AVX2, value by value.
struct Floats {
    float32x4_t low, high;
};
constexpr int64_t kWidth = 8;

inline Floats operator+(Floats a, Floats b) {
    return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)};
}
inline Floats operator-(Floats a, Floats b) {
    return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)};
}
inline Floats operator*(Floats a, Floats b) {
    return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)};
}
inline Floats operator/(Floats a, Floats b) {
    return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)};
}
inline Floats all(float x) {
    return {vdupq_n_f32(x), vdupq_n_f32(x)};
}
inline Floats load(const float* from) {
    return {vld1q_f32(from), vld1q_f32(from + 4)};
}
inline void store(float* to, Floats x) {
    vst1q_f32(to, x.low);
    vst1q_f32(to + 4, x.high);
}
inline Floats fmadd(Floats a, Floats b, Floats c) {
    return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)};
}
inline Floats fnmadd(Floats a, Floats b, Floats c) {
    return {vfmsq_f32(c.low, a.low, b.low), vfmsq_f32(c.high, a.high, b.high)};
}
inline Floats abs(Floats x) {
    return {vabsq_f32(x.low), vabsq_f32(x.high)};
}
inline Floats if_negative(Floats x, Floats yes, Floats no) {
    return {vbslq_f32(vcltzq_f32(x.low), yes.low, no.low), vbslq_f32(vcltzq_f32(x.high), yes.high, no.high)};
}
inline float sum(Floats x) {
    return vaddvq_f32(vaddq_f32(x.low, x.high));
}

// The same as with sixteen values. Values below -87 become 0, values above 88 become infinity.
inline float32x4_t exp(float32x4_t x) {
    const float32x4_t low = vdupq_n_f32(-87.3f), high = vdupq_n_f32(88.7f);
    const float32x4_t in = vmaxnmq_f32(vminnmq_f32(x, high), low);
    const float32x4_t n  = vrndnq_f32(vmulq_f32(in, vdupq_n_f32(1.44269504f)));
    float32x4_t r        = vfmsq_f32(in, n, vdupq_n_f32(0.693359375f));
    r                    = vfmsq_f32(r, n, vdupq_n_f32(-2.12194440e-4f));
    float32x4_t p        = vdupq_n_f32(1.0f / 720);
    for (const float c : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
        p = vfmaq_f32(vdupq_n_f32(c), p, r);
    }
    const int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    const auto power = [](int32x4_t e) {
        return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(e, vdupq_n_s32(127)), 23));
    };
    const float32x4_t y    = vmulq_f32(vmulq_f32(p, power(half)), power(vsubq_s32(whole, half)));
    const float32x4_t some = vbslq_f32(vcltq_f32(x, low), vdupq_n_f32(0), y);
    return vbslq_f32(vcgtq_f32(x, high), vdupq_n_f32(__builtin_inff()), some);
}
inline Floats exp(Floats x) {
    return {exp(x.low), exp(x.high)};
}

}  // namespace dg::vec

#elif defined(DG_F32_PRODUCTS)

#define DG_VECTORS 1

namespace dg::vec {

using Floats             = __m256;
constexpr int64_t kWidth = 8;

inline Floats all(float x) {
    return _mm256_set1_ps(x);
}
inline Floats load(const float* from) {
    return _mm256_loadu_ps(from);
}
inline void store(float* to, Floats x) {
    _mm256_storeu_ps(to, x);
}
inline Floats fmadd(Floats a, Floats b, Floats c) {
    return _mm256_fmadd_ps(a, b, c);
}
inline Floats fnmadd(Floats a, Floats b, Floats c) {
    return _mm256_fnmadd_ps(a, b, c);
}
inline Floats abs(Floats x) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}
inline Floats if_negative(Floats x, Floats yes, Floats no) {
    return _mm256_blendv_ps(no, yes, x);
}
inline float sum(Floats x) {
    float lanes[8];
    _mm256_storeu_ps(lanes, x);
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

// The same as with sixteen values. Values below -87 become 0, values above 88 become infinity.
inline Floats exp(Floats x) {
    const __m256 low = _mm256_set1_ps(-87.3f), high = _mm256_set1_ps(88.7f);
    const __m256 in = _mm256_max_ps(_mm256_min_ps(x, high), low);
    const __m256 n =
        _mm256_round_ps(_mm256_mul_ps(in, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), in);
    r        = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.0f / 720);
    for (const float c : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
        p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(c));
    }
    // 2^n as two factors: n can be 128, and F32 has no 2^128
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half  = _mm256_srai_epi32(whole, 1);
    const auto power    = [](__m256i e) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e, _mm256_set1_epi32(127)), 23));
    };
    const __m256 y    = _mm256_mul_ps(_mm256_mul_ps(p, power(half)), power(_mm256_sub_epi32(whole, half)));
    const __m256 none = _mm256_cmp_ps(x, low, _CMP_LT_OQ), above = _mm256_cmp_ps(x, high, _CMP_GT_OQ);
    return _mm256_blendv_ps(_mm256_andnot_ps(none, y), _mm256_set1_ps(__builtin_inff()), above);
}

}  // namespace dg::vec

#endif

#if defined(DG_VECTORS)

namespace dg::vec {

// x * sigmoid(x).
inline Floats silu(Floats x) {
    return x / (all(1.0f) + exp(all(0.0f) - x));
}

// x / 2 * (1 + erf(x / sqrt 2)), the error function by formula 7.1.26 of Abramowitz and Stegun, "Handbook of
// Mathematical Functions" (absolute error below 1.5e-7).
inline Floats gelu(Floats x) {
    const Floats z = abs(x) * all(0.70710678f);
    const Floats t = all(1.0f) / fmadd(z, all(0.3275911f), all(1.0f));
    Floats p       = all(1.061405429f);
    for (const float c : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f}) {
        p = fmadd(p, t, all(c));
    }
    const Floats tail = p * t * exp(fnmadd(z, z, all(0.0f)));
    // tail = 1 - erf(z) for z >= 0; for negative x, 1 + erf is the tail itself
    return x * all(0.5f) * if_negative(x, tail, all(2.0f) - tail);
}

// x * sigmoid(1.702 x).
inline Floats quick_gelu(Floats x) {
    return x / (all(1.0f) + exp(x * all(-1.702f)));
}

}  // namespace dg::vec

#endif
