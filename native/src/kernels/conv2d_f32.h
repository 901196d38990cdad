// The direct convolution in F32 on AVX2 (kernels/product_f32.h), on pictures packed by kernels/pack_picture.h.
#pragma once

#include <cstdint>

#include "ggml.h"
#include "kernels/conv2d.h"

namespace dg {

// The packed kernel: [16 outputs][channel block][tap][channel][output], outputs filled up with zeros; of F32, F16 or BF16. The
// last channel block is as wide as it needs to be. As many elements as kernel x kernel x in, times the rows.
void conv_f32_pack(const void* weights, ggml_type type, int64_t kernel, int64_t in, int64_t out, void* packed);

// Graph node, as conv_bf16.
ggml_tensor* conv_f32(ggml_context* ctx, ggml_tensor* picture, int64_t width, int64_t height, int64_t in,
                      ggml_tensor* packed, ggml_tensor* bias, int64_t out, const ConvShape& shape,
                      const ConvAddends& addends, bool exact);

}  // namespace dg
