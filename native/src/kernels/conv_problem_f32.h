// A convolution's node, as conv2d_f32.cpp and winograd_f32.cpp need it.
#pragma once

#include "kernels/conv_problem.h"
#include "kernels/product_f32.h"

#if defined(DG_F32_PRODUCTS)

namespace dg {

struct F32Problem : ConvProblem {
    const float* values;   // of the picture
    int64_t in, blocks;    // channels, and blocks of them
    int64_t line, plane;   // of the picture, in floats

    F32Problem(const ggml_tensor* node, void* userdata)
        : ConvProblem(node, userdata),
          values(floats_of(picture)),
          in(weights->ne[0] / taps()),
          blocks(ceil_div(in, kBlock)),
          line(columns * kBlock),
          plane(picture->ne[1] * kBlock) {}

    int64_t rows() const { return pixels * batch; }
    int64_t row_of(int64_t row) const {
        const int64_t image = row / pixels, pixel = row % pixels;
        return image * blocks * plane + pixel / out_width * shape.stride * line +
               pixel % out_width * shape.stride * kBlock;
    }
    std::vector<Step> steps() const {
        std::vector<Step> list;
        for (int64_t b = 0; b < blocks; b++) {
            for (int64_t tap = 0; tap < taps(); tap++) {
                list.push_back({b * plane + tap / shape.kernel * line + tap % shape.kernel * kBlock,
                                static_cast<int32_t>(std::min(kBlock, in - b * kBlock))});
            }
        }
        return list;
    }
};

}  // namespace dg

#endif
