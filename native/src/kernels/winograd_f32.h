// 3 x 3 convolutions by Winograd's minimal filtering F(4 x 4, 3 x 3) in F32 on AVX2: 36 products where 144 are written
// (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). Sums differ from the direct ones by some 1e-6, so
// that exact arithmetic does not use it.
#pragma once

#include "kernels/conv2d_f32.h"

namespace dg {

// Whether it can be and pays: stride 1, border 1, width and height multiples of 4, enough channels and pixels.
bool winograd_offered(int64_t width, int64_t height, int64_t batch, int64_t in, int64_t out, const ConvShape& shape);

// A node's function, with the sources and userdata of conv_f32.
void winograd_convolve(ggml_tensor* dst, int ith, int nth, void* userdata);

}  // namespace dg
