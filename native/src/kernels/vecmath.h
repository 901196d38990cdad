// Functions on sixteen F32 values, and the same on eight. For kernels/*.cpp only.
#pragma once

#include "kernels/simd.h"

#if defined(__AVX512F__)

namespace dg {

// e^x: x = n ln 2 + r with |r| <= ln 2 / 2, and the Taylor polynomial of degree 6 for e^r; relative error below 2e-7.
// Values below -87 become 0, above 88 infinity.
inline __m512 exp16(__m512 x) {
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT);
    __m512 r       = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);     // ln 2 in two parts, the first
    r              = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);  // exact in few bits
    __m512 p       = _mm512_set1_ps(1.0f / 720);
    for (const float c : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
    }
    return _mm512_scalef_ps(p, n);
}

// x * sigmoid(x).
inline __m512 silu16(__m512 x) {
    const __m512 e = exp16(_mm512_sub_ps(_mm512_setzero_ps(), x));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
}

// x / 2 * (1 + erf(x / sqrt 2)), the error function by formula 7.1.26 of Abramowitz and Stegun, "Handbook of
// Mathematical Functions" (absolute error below 1.5e-7).
inline __m512 gelu16(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f);
    const __m512 z   = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678f));
    const __m512 t   = _mm512_div_ps(one, _mm512_fmadd_ps(z, _mm512_set1_ps(0.3275911f), one));
    __m512 p         = _mm512_set1_ps(1.061405429f);
    for (const float c : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f}) {
        p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(c));
    }
    const __m512 tail = _mm512_mul_ps(_mm512_mul_ps(p, t), exp16(_mm512_fnmadd_ps(z, z, _mm512_setzero_ps())));
    // tail = 1 - erf(z) for z >= 0; for negative x, 1 + erf is the tail itself
    const __m512 upper  = _mm512_sub_ps(_mm512_set1_ps(2.0f), tail);
    const __mmask16 neg = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
    const __m512 scale  = _mm512_mask_mov_ps(upper, neg, tail);
    return _mm512_mul_ps(_mm512_mul_ps(x, _mm512_set1_ps(0.5f)), scale);
}

// x * sigmoid(1.702 x).
inline __m512 quick_gelu16(__m512 x) {
    const __m512 e = exp16(_mm512_mul_ps(x, _mm512_set1_ps(-1.702f)));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
}

}  // namespace dg

#endif

#if defined(DG_F32_PRODUCTS)

namespace dg {

// As exp16; values below -87 become 0 and those above 88 infinity.
inline __m256 exp8(__m256 x) {
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
    // 2^n in two factors: n reaches 128, which is no exponent of a number
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half  = _mm256_srai_epi32(whole, 1);
    const auto power    = [](__m256i e) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e, _mm256_set1_epi32(127)), 23));
    };
    const __m256 y    = _mm256_mul_ps(_mm256_mul_ps(p, power(half)), power(_mm256_sub_epi32(whole, half)));
    const __m256 none = _mm256_cmp_ps(x, low, _CMP_LT_OQ), all = _mm256_cmp_ps(x, high, _CMP_GT_OQ);
    return _mm256_blendv_ps(_mm256_andnot_ps(none, y), _mm256_set1_ps(__builtin_inff()), all);
}

inline __m256 silu8(__m256 x) {
    const __m256 e = exp8(_mm256_sub_ps(_mm256_setzero_ps(), x));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

inline __m256 gelu8(__m256 x) {
    const __m256 one = _mm256_set1_ps(1.0f);
    const __m256 z   = _mm256_mul_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), x), _mm256_set1_ps(0.70710678f));
    const __m256 t   = _mm256_div_ps(one, _mm256_fmadd_ps(z, _mm256_set1_ps(0.3275911f), one));
    __m256 p         = _mm256_set1_ps(1.061405429f);
    for (const float c : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f}) {
        p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(c));
    }
    const __m256 tail  = _mm256_mul_ps(_mm256_mul_ps(p, t), exp8(_mm256_fnmadd_ps(z, z, _mm256_setzero_ps())));
    const __m256 scale = _mm256_blendv_ps(_mm256_sub_ps(_mm256_set1_ps(2.0f), tail), tail, x);  // by x's sign
    return _mm256_mul_ps(_mm256_mul_ps(x, _mm256_set1_ps(0.5f)), scale);
}

inline __m256 quick_gelu8(__m256 x) {
    const __m256 e = exp8(_mm256_mul_ps(x, _mm256_set1_ps(-1.702f)));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

}  // namespace dg

#endif
