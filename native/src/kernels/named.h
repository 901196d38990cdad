// Names of custom nodes, by which a profile tells kernels apart.
#pragma once

#include "ggml.h"

namespace dg {

constexpr const char* kConv2d       = "conv2d";
constexpr const char* kConv2dBf16   = "conv2d_bf16";
constexpr const char* kMatmulBf16   = "matmul_bf16";
constexpr const char* kMatmulF32    = "matmul_f32";
constexpr const char* kGegluF32     = "matmul_geglu_f32";
constexpr const char* kWinograd     = "conv2d_winograd";
constexpr const char* kGegluBf16    = "matmul_geglu_bf16";
constexpr const char* kMatmulQ8     = "matmul_q8";
constexpr const char* kGegluQ8      = "matmul_geglu_q8";
constexpr const char* kPackQ8       = "pack_q8";
constexpr const char* kAttention    = "attention_bf16";
constexpr const char* kPackKeys     = "pack_keys_values";
constexpr const char* kPackTokens   = "pack_tokens";
constexpr const char* kPackPicture  = "pack_picture";
constexpr const char* kGroupMoments = "group_moments";

inline ggml_tensor* named(ggml_tensor* node, const char* name) {
    return ggml_set_name(node, name);
}

}  // namespace dg
