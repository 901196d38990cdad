// What the BF16 convolutions know of their node. For kernels/*.cpp only.
#pragma once

#include "kernels/conv_problem.h"
#include "kernels/product_bf16.h"

#if defined(__AVX512BF16__)

namespace dg {

struct Bf16Problem : ConvProblem {
    const uint32_t* pairs;
    const uint16_t* packed;
    int64_t row, plane, image;  // strides of pairs, in dwords
    int64_t depth_tiles;        // tiles of input channels

    Bf16Problem(const ggml_tensor* node, void* userdata)
        : ConvProblem(node, userdata),
          pairs(static_cast<const uint32_t*>(picture->data)),
          packed(static_cast<const uint16_t*>(weights->data)),
          row(picture->ne[0] / 2),
          plane(row * picture->ne[1]),
          image(plane * picture->ne[2]),
          depth_tiles(picture->ne[2] / kTile) {}
};

}  // namespace dg

#endif
