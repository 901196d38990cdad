// Makes kernels into nodes of a graph, with names that a profile shows.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "ggml.h"

namespace dg {

constexpr const char* kConv2d       = "conv2d";
constexpr const char* kConv2dBf16   = "conv2d_bf16";
constexpr const char* kMatmulBf16   = "matmul_bf16";
constexpr const char* kMatmulF32    = "matmul_f32";
constexpr const char* kGegluF32     = "matmul_geglu_f32";
constexpr const char* kWinograd     = "conv2d_winograd";
constexpr const char* kWinogradBf16 = "conv2d_winograd_bf16";
constexpr const char* kGegluBf16    = "matmul_geglu_bf16";
constexpr const char* kMatmulQ8     = "matmul_q8";
constexpr const char* kGegluQ8      = "matmul_geglu_q8";
constexpr const char* kPackQ8       = "pack_q8";
constexpr const char* kAttention    = "attention_bf16";
constexpr const char* kPackKeys     = "pack_keys_values";
constexpr const char* kPackTokens   = "pack_tokens";
constexpr const char* kPackPicture  = "pack_picture";
constexpr const char* kGroupMoments = "group_moments";

// A node that `function` computes with all threads. Sources may be NULL.
inline ggml_tensor* custom_node(ggml_context* ctx, const char* name, ggml_custom_op_t function, ggml_type type,
                                const std::array<int64_t, 4>& ne, std::initializer_list<ggml_tensor*> sources,
                                uintptr_t userdata = 0) {
    ggml_tensor* node =
        ggml_custom_4d(ctx, type, ne[0], ne[1], ne[2], ne[3], const_cast<ggml_tensor**>(sources.begin()),
                       static_cast<int>(sources.size()), function, GGML_N_TASKS_MAX, reinterpret_cast<void*>(userdata));
    return ggml_set_name(node, name);
}

// The beginning of a row of an F32 tensor.
inline const float* row_of(const ggml_tensor* x, int64_t i1, int64_t i2, int64_t i3 = 0) {
    const auto at =
        static_cast<size_t>(i1) * x->nb[1] + static_cast<size_t>(i2) * x->nb[2] + static_cast<size_t>(i3) * x->nb[3];
    return reinterpret_cast<const float*>(static_cast<const char*>(x->data) + at);
}

// The values of a source; NULL if there is no source.
inline const float* floats_of(const ggml_tensor* source) {
    return source != nullptr ? static_cast<const float*>(source->data) : nullptr;
}

// A number as userdata, and back.
inline uintptr_t userdata_of(float number) {
    uint32_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    return bits;
}

inline float number_of(void* userdata) {
    const auto bits = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(userdata));
    float number;
    std::memcpy(&number, &bits, sizeof number);
    return number;
}

}  // namespace dg
