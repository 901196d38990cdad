#include "kernels/convert.h"

#include <cstring>

#include "kernels/simd.h"

namespace dg {

namespace {

bool is_float(ggml_type type) {
    return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16;
}

float load_one(const void* src, ggml_type type, int64_t i) {
    switch (type) {
        case GGML_TYPE_F16: return ggml_fp16_to_fp32(static_cast<const ggml_fp16_t*>(src)[i]);
        case GGML_TYPE_BF16: return ggml_bf16_to_fp32(static_cast<const ggml_bf16_t*>(src)[i]);
        default: return static_cast<const float*>(src)[i];
    }
}

void store_one(void* dst, ggml_type type, int64_t i, float value) {
    switch (type) {
        case GGML_TYPE_F16: static_cast<ggml_fp16_t*>(dst)[i] = ggml_fp32_to_fp16(value); break;
        case GGML_TYPE_BF16: static_cast<ggml_bf16_t*>(dst)[i] = ggml_fp32_to_bf16(value); break;
        default: static_cast<float*>(dst)[i] = value; break;
    }
}

#if defined(__AVX512F__)

__m512 load16(const void* src, ggml_type type, int64_t i) {
    if (type == GGML_TYPE_F32) {
        return _mm512_loadu_ps(static_cast<const float*>(src) + i);
    }
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(static_cast<const uint16_t*>(src) + i));
    if (type == GGML_TYPE_F16) {
        return _mm512_cvtph_ps(half);
    }
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

// Round to nearest even; NaN becomes a quiet NaN of the same sign.
__m256i to_bf16(__m512 value) {
    const __m512i bits    = _mm512_castps_si512(value);
    const __m512i odd     = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan   = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const __m512i quiet   = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_blend_epi32(nan, rounded, quiet), 16));
}

void store16(void* dst, ggml_type type, int64_t i, __m512 value) {
    if (type == GGML_TYPE_F32) {
        _mm512_storeu_ps(static_cast<float*>(dst) + i, value);
        return;
    }
    const __m256i half = type == GGML_TYPE_F16 ? _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT) : to_bf16(value);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(static_cast<uint16_t*>(dst) + i), half);
}

#endif

}  // namespace

bool convert_floats(const void* src, ggml_type src_type, void* dst, ggml_type dst_type, int64_t n) {
    if (!is_float(src_type) || !is_float(dst_type)) {
        return false;
    }
    if (src_type == dst_type) {
        std::memcpy(dst, src, static_cast<size_t>(n) * ggml_type_size(src_type));
        return true;
    }
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) {
        store16(dst, dst_type, i, load16(src, src_type, i));
    }
#endif
    for (; i < n; i++) {
        store_one(dst, dst_type, i, load_one(src, src_type, i));
    }
    return true;
}

}  // namespace dg
