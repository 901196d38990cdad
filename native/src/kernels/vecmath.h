// Functions on sixteen F32 values. For kernels/*.cpp only.
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
