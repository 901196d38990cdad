// The direct convolution on CPUs with BF16 products (AMX tiles, AVX512_BF16). Pictures come as BF16 pairs of
// channels inside a border of zeros, so that every product reads without conditions.
#pragma once

#include <cstdint>

#include "ggml.h"
#include "kernels/conv2d.h"

namespace dg {

// Sizes of the packed kernel, in elements: tiles of 16 output channels x 32 input channels, ordered
// by output, input, tap.
int64_t conv_bf16_columns(int64_t kernel, int64_t in);

// weights: [out][in][kernel][kernel] BF16.
void conv_bf16_pack(const uint16_t* weights, int64_t kernel, int64_t in, int64_t out, uint16_t* packed);

// Graph node, as conv_packed.
ggml_tensor* conv_bf16(ggml_context* ctx, ggml_tensor* pairs, int64_t width, int64_t height, ggml_tensor* packed,
                       ggml_tensor* bias, int64_t out, const ConvShape& shape, const ConvAddends& addends);

}  // namespace dg
