// A convolution's node as conv2d_f32.cpp and winograd_f32.cpp read it.
#pragma once

#include "kernels/conv2d_f32.h"
#include "kernels/product_f32.h"

namespace dg {

// A node's userdata: the kernel's shape, which sources follow the picture, weights and bias, and the length of a line.
constexpr uintptr_t kHasPerPicture = 1 << 24, kHasResidual = 1 << 25;

#if defined(DG_F32_PRODUCTS)

struct ConvProblem {
    ggml_tensor* dst;
    const float* picture;
    const ggml_tensor* weights;
    const float* bias;
    const float* per_picture;  // [out, N] or NULL
    const float* residual;     // as the result, or NULL
    ConvShape shape;
    int64_t in, blocks;         // channels, and blocks of them
    int64_t line, plane;        // of the picture, in floats
    int64_t out_width, pixels;  // of one result

    ConvProblem(ggml_tensor* node, void* userdata) {
        const auto bits = reinterpret_cast<uintptr_t>(userdata);
        dst             = node;
        shape           = {static_cast<int32_t>(bits & 0xff), static_cast<int32_t>(bits >> 8 & 0xff),
                           static_cast<int32_t>(bits >> 16 & 0xff)};
        picture         = static_cast<const float*>(node->src[0]->data);
        weights         = node->src[1];
        bias            = static_cast<const float*>(node->src[2]->data);
        per_picture     = (bits & kHasPerPicture) != 0 ? static_cast<const float*>(node->src[3]->data) : nullptr;
        residual        = nullptr;
        if ((bits & kHasResidual) != 0) {
            residual = static_cast<const float*>(node->src[per_picture != nullptr ? 4 : 3]->data);
        }
        in        = weights->ne[0] / taps();
        blocks    = blocks_of(in, kBlock);
        line      = static_cast<int64_t>(bits >> 32) * kBlock;
        plane     = node->src[0]->ne[1] * kBlock;
        out_width = node->ne[0];
        pixels    = node->ne[0] * node->ne[1];
    }

    int64_t taps() const { return int64_t{shape.kernel} * shape.kernel; }
    int64_t rows() const { return pixels * dst->ne[3]; }
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
    float added_to(int64_t channel, int64_t image) const {
        return bias[channel] + (per_picture != nullptr ? per_picture[image * dst->ne[2] + channel] : 0.0f);
    }
};

#endif

}  // namespace dg
