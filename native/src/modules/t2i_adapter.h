// SDXL's T2I-Adapter (diffusers' T2IAdapter of type full_adapter_xl). It turns a control picture into one block of features for each
// of the UNet's down blocks and for its middle. Dimensions come from the weights.
#pragma once

#include <vector>

#include "modules/ops.h"

namespace dg {

struct T2iDims {
    int64_t picture_channels = 0;  // of the control picture: 3, or 1 for grey
    int64_t downscale        = 16;  // pixels that become one cell of the first features
    std::vector<int64_t> channels;  // of each block: 320 640 1280 1280
    std::vector<int64_t> resnets;  // in each block: 2
    std::vector<int64_t> kernels;  // of each block's second convolutions: 1
};

// Whether the weights are an adapter's and not a ControlNet's.
bool is_t2i_adapter(const Source& source);
T2iDims infer_t2i_dims(const Source& source);

class T2iAdapter {
public:
    T2iAdapter(Params& params, const T2iDims& dims);

    // How many times smaller than the picture a block's features are; sizes are rounded up.
    int64_t scale(size_t block) const;
    // Values of one picture's features of a block.
    int64_t values(size_t block, int64_t height, int64_t width) const;
    // pixels [W, H, picture_channels, N] in [0, 1] -> the features of each block, [w, h, channels, N].
    std::vector<ggml_tensor*> build(GraphBuilder& g, ggml_tensor* pixels) const;

    const T2iDims dims;

private:
    struct Block {
        Conv2d in;  // none if the channels stay as they are
        std::vector<Conv2d> first, second;  // of each resnet
    };
    Conv2d in_;
    std::vector<Block> blocks_;
};

}  // namespace dg
