// Shared by the nodes of all direct convolutions. For kernels/*.cpp only.
#pragma once

#include "kernels/conv2d.h"
#include "kernels/node.h"

namespace dg {

// A node's sources are the picture, the packed weights, the bias and ConvAddends. Its userdata holds the shape in the low bits and
// the length of a packed picture's line, in pixels, above them.
struct ConvProblem {
    const ggml_tensor* picture;
    const ggml_tensor* weights;
    const float* bias;
    const float* per_picture;  // [out, N] or NULL
    const float* residual;  // as the result, or NULL
    float* y;
    ConvShape shape;
    int64_t columns;  // of a packed picture
    int64_t out_width, pixels, out, batch;  // of the result; pixels of one picture

    ConvProblem(const ggml_tensor* node, void* userdata)
        : picture(node->src[0]),
          weights(node->src[1]),
          bias(floats_of(node->src[2])),
          per_picture(floats_of(node->src[3])),
          residual(floats_of(node->src[4])),
          y(static_cast<float*>(node->data)),
          out_width(node->ne[0]),
          pixels(node->ne[0] * node->ne[1]),
          out(node->ne[2]),
          batch(node->ne[3]) {
        const auto bits = reinterpret_cast<uintptr_t>(userdata);
        shape           = {static_cast<int32_t>(bits & 0xff), static_cast<int32_t>(bits >> 8 & 0xff),
                           static_cast<int32_t>(bits >> 16 & 0xff)};
        columns         = static_cast<int64_t>(bits >> 32);
    }

    int64_t taps() const { return int64_t{shape.kernel} * shape.kernel; }
    float added_to(int64_t channel, int64_t image) const {
        return bias[channel] + (per_picture != nullptr ? per_picture[image * out + channel] : 0.0f);
    }
};

// The functions that nodes run. A function whose products are not built in is never called.

// For CPUs with BF16 products (AMX tiles, AVX512_BF16). The pictures are packed by kernels/pack_picture.h.
void convolve_bf16(ggml_tensor* dst, int ith, int nth, void* userdata);

// The same by Winograd's minimal filtering F(2 x 2, 3 x 3): 16 products in place of 36 (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2015). The transforms are F32, what they give is rounded to BF16.
void convolve_winograd_bf16(ggml_tensor* dst, int ith, int nth, void* userdata);

// Whether that is possible and faster. Not a question of the batch, so that a picture does not depend on others.
bool winograd_bf16_offered(int64_t width, int64_t height, int64_t in, int64_t out, const ConvShape& shape);

// In F32 on AVX2 and NEON (kernels/product_f32.h), for packed pictures too.
void convolve_f32(ggml_tensor* dst, int ith, int nth, void* userdata);

// The same by Winograd's minimal filtering F(4 x 4, 3 x 3): 36 products in place of 144 (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2015). Its sums differ from the direct ones by about 1e-6, so exact arithmetic does not use it.
void convolve_winograd(ggml_tensor* dst, int ith, int nth, void* userdata);

// Whether Winograd's filtering is possible and faster: stride 1, border 1, width and height multiples of 4, enough channels and
// pixels.
bool winograd_offered(int64_t width, int64_t height, int64_t batch, int64_t in, int64_t out, const ConvShape& shape);

}  // namespace dg
