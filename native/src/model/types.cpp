#include "model/types.h"

#include <cstring>
#include <vector>

#include "base/error.h"
#include "kernels/convert.h"

namespace dg {

namespace {

struct Pair {
    int32_t dg;
    ggml_type ggml;
};

constexpr Pair kTypes[] = {
    {DG_TYPE_F32, GGML_TYPE_F32},   {DG_TYPE_F16, GGML_TYPE_F16},       {DG_TYPE_BF16, GGML_TYPE_BF16},
    {DG_TYPE_Q8_0, GGML_TYPE_Q8_0}, {DG_TYPE_Q4_0, GGML_TYPE_Q4_0},     {DG_TYPE_Q4_1, GGML_TYPE_Q4_1},
    {DG_TYPE_Q5_0, GGML_TYPE_Q5_0}, {DG_TYPE_Q5_1, GGML_TYPE_Q5_1},     {DG_TYPE_Q2_K, GGML_TYPE_Q2_K},
    {DG_TYPE_Q3_K, GGML_TYPE_Q3_K}, {DG_TYPE_Q4_K, GGML_TYPE_Q4_K},     {DG_TYPE_Q5_K, GGML_TYPE_Q5_K},
    {DG_TYPE_Q6_K, GGML_TYPE_Q6_K}, {DG_TYPE_IQ4_NL, GGML_TYPE_IQ4_NL},
};

}  // namespace

ggml_type to_ggml_type(int32_t type) {
    for (const Pair& p : kTypes) {
        if (p.dg == type) {
            return p.ggml;
        }
    }
    return GGML_TYPE_COUNT;
}

int32_t from_ggml_type(ggml_type type) {
    for (const Pair& p : kTypes) {
        if (p.ggml == type) {
            return p.dg;
        }
    }
    return DG_TYPE_AUTO;
}

void convert_rows(const void* src, ggml_type src_type, void* dst, ggml_type dst_type, int64_t n_rows,
                  int64_t row_size) {
    const int64_t n = n_rows * row_size;
    if (convert_floats(src, src_type, dst, dst_type, n)) {
        return;
    }
    if (src_type == dst_type) {
        std::memcpy(dst, src, ggml_row_size(src_type, row_size) * static_cast<size_t>(n_rows));
        return;
    }
    std::vector<float> widened;
    const float* values = static_cast<const float*>(src);
    if (src_type != GGML_TYPE_F32) {
        const ggml_type_traits* traits = ggml_get_type_traits(src_type);
        if (traits->to_float == nullptr) {
            fail(DG_ERR_UNSUPPORTED, "weights of type %s cannot be converted", ggml_type_name(src_type));
        }
        float* target = static_cast<float*>(dst);
        if (dst_type != GGML_TYPE_F32) {
            widened.resize(static_cast<size_t>(n));
            target = widened.data();
        }
        traits->to_float(src, target, n);
        values = target;
    }
    if (dst_type == GGML_TYPE_F32) {
        return;
    }
    if (convert_floats(values, GGML_TYPE_F32, dst, dst_type, n)) {
        return;
    }
    if (ggml_is_quantized(dst_type) && !ggml_quantize_requires_imatrix(dst_type)) {
        ggml_quantize_chunk(dst_type, values, dst, 0, n_rows, row_size, nullptr);
    } else {
        fail(DG_ERR_UNSUPPORTED, "weights cannot be converted to type %s", ggml_type_name(dst_type));
    }
}

}  // namespace dg
