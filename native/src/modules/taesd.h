// TAESD, a tiny autoencoder for SDXL's latents (diffusers' AutoencoderTiny). It has plain convolutions, no norms, no attention.
// The names of the weights give the order of its layers.
#pragma once

#include <vector>

#include "modules/ops.h"

namespace dg {

class TaesdHalf {
public:
    enum class Side { Encoder, Decoder };

    TaesdHalf(const Source& source, Params& params, Side side);

    // Encoder: pixels [W, H, 3, N] in [-1, 1] -> latents in the UNet's range [w, h, latent, N].
    // Decoder: such latents -> pixels about [-1, 1].
    ggml_tensor* build(GraphBuilder& g, ggml_tensor* x) const;

    int64_t latent_channels() const;
    int64_t width() const;  // channels inside
    int64_t levels() const { return resamples_ + 1; }

private:
    struct Layer {
        enum class Kind { Conv, Downsample, Relu, Block, Upsample } kind;
        Conv2d conv[3];
    };
    Side side_;
    std::vector<Layer> layers_;
    int64_t resamples_ = 0;
};

}  // namespace dg
