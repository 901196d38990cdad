// SDXL's ControlNet (diffusers' ControlNetModel, and ControlNetUnionModel). It has the down blocks and the middle
// of a UNet, a small network for the control picture (the hint), and a 1x1 convolution for every residual. Dimensions come from
// the weights.
#pragma once

#include <memory>
#include <vector>

#include "modules/unet.h"

namespace dg {

struct ControlDims {
    UnetDims unet;
    std::vector<int64_t> hint;  // output channels of the hint's convolutions before the last
    int64_t hint_channels = 0;  // channels of the control picture
    // Union nets only.
    int64_t types = 0, fuse_width = 0, fuse_layers = 0;

    int64_t hint_downscale() const;
};

ControlDims infer_control_dims(const Source& source);

// Shapes of the residuals for latents of height x width: after the first convolution, every resnet and downsampling, and the middle.
struct ResidualShape {
    int64_t channels, height, width;
};
std::vector<ResidualShape> residual_shapes(const UnetDims& dims, int64_t height, int64_t width);

// Runs the convolutions of a network for control pictures, with SiLU between them. Of the inner ones, each second halves the picture.
ggml_tensor* embed_hint(GraphBuilder& g, const std::vector<Conv2d>& convolutions, ggml_tensor* x);

class ControlNet {
public:
    ControlNet(Params& params, const ControlDims& dims);

    // pixels [W, H, hint_channels, N] in [0, 1] -> [w, h, model_channels, N].
    ggml_tensor* embed_hint(GraphBuilder& g, ggml_tensor* pixels) const;

    struct Inputs {
        ggml_tensor* sample;  // as in Unet::Inputs
        ggml_tensor* time;
        Unet::Context context;  // empty if the net has no cross-attention
        ggml_tensor* label;
        ggml_tensor* hint;  // [w, h, model_channels, N or 1]; with several kinds, one for each
        ggml_tensor* types;  // Union: sinusoids of the one-hot kinds [256 * types]; otherwise NULL
        std::vector<int32_t> kinds;  // Union: of the hint, or of each
        ggml_tensor* weights = nullptr;  // Union: of each hint [kinds]; NULL: there is one
    };
    // One tensor for each of residual_shapes, [w, h, channels, N].
    std::vector<ggml_tensor*> build(GraphBuilder& g, const Inputs& in) const;

    const ControlDims dims;

private:
    // A layer of a Union net (ResidualAttentionBlock). In the nets' original code, attention takes the batch for the sequence. With
    // one picture every token then sees only itself, and q and k change nothing. The nets were trained so, and we do the same.
    struct Fuse {
        Norm norm1, norm2;
        Linear v, out, fc, proj;
    };
    ggml_tensor* fused_hint(GraphBuilder& g, ggml_tensor* x, ggml_tensor* hint, int32_t kind,
                            ggml_tensor* weight) const;
    ggml_tensor* fused_hints(GraphBuilder& g, ggml_tensor* x, const Inputs& in) const;

    std::unique_ptr<Unet> unet_;
    std::vector<Conv2d> hint_;
    std::vector<Conv2d> down_;
    Conv2d mid_;
    ggml_tensor* tasks_ = nullptr;
    std::vector<Fuse> fuse_;
    Linear spatial_, type1_, type2_;
};

}  // namespace dg
