#include "kernels/convert.h"

#include <algorithm>
#include <cstring>

#include "ggml-cpu.h"

namespace dg {

namespace {

bool is_float(ggml_type type) {
    return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16;
}

void to_f32(const void* src, ggml_type type, float* dst, int64_t n) {
    type == GGML_TYPE_F16 ? ggml_cpu_fp16_to_fp32(static_cast<const ggml_fp16_t*>(src), dst, n)
                          : ggml_cpu_bf16_to_fp32(static_cast<const ggml_bf16_t*>(src), dst, n);
}

void from_f32(const float* src, void* dst, ggml_type type, int64_t n) {
    type == GGML_TYPE_F16 ? ggml_cpu_fp32_to_fp16(src, static_cast<ggml_fp16_t*>(dst), n)
                          : ggml_cpu_fp32_to_bf16(src, static_cast<ggml_bf16_t*>(dst), n);
}

}  // namespace

bool convert_floats(const void* src, ggml_type src_type, void* dst, ggml_type dst_type, int64_t n) {
    if (!is_float(src_type) || !is_float(dst_type)) {
        return false;
    }
    if (n == 0) {
        return true;  // src and dst may be NULL
    }
    static const bool ready = (ggml_cpu_init(), true);  // tables of CPUs without such instructions
    static_cast<void>(ready);
    if (src_type == dst_type) {
        std::memcpy(dst, src, static_cast<size_t>(n) * ggml_type_size(src_type));
    } else if (dst_type == GGML_TYPE_F32) {
        to_f32(src, src_type, static_cast<float*>(dst), n);
    } else if (src_type == GGML_TYPE_F32) {
        from_f32(static_cast<const float*>(src), dst, dst_type, n);
    } else {
        float part[256];
        for (int64_t i = 0; i < n; i += 256) {
            const int64_t count = std::min<int64_t>(256, n - i);
            to_f32(static_cast<const uint16_t*>(src) + i, src_type, part, count);
            from_f32(part, static_cast<uint16_t*>(dst) + i, dst_type, count);
        }
    }
    return true;
}

}  // namespace dg
