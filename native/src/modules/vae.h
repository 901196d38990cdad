// SDXL's VAE (diffusers' AutoencoderKL): encoder and decoder with widths and depths from the weights.
#pragma once

#include <string>
#include <vector>

#include "modules/ops.h"
#include "modules/vae_norms.h"

namespace dg {

struct VaeDims {
    int64_t latent = 0;
    std::vector<int64_t> encoder, decoder;  // channels per level, from the picture's side
    int64_t encoder_resnets = 0, decoder_resnets = 0;
    int32_t groups  = 32;
    bool quant_conv = false, post_quant_conv = false;
    bool attention = false;  // in the middle

    int64_t downscale() const {
        const size_t levels = decoder.empty() ? encoder.size() : decoder.size();
        return int64_t{1} << (levels - 1);
    }
};

VaeDims infer_vae_dims(const Source& source);

namespace vae {

struct Attention {
    Norm norm;
    Linear q, k, v, out;
};
struct Middle {
    Resnet first, second;
    Attention attention;  // empty where there is none
};
struct Level {
    std::vector<Resnet> resnets;
    Conv2d resample;  // none after the last
};

}  // namespace vae

class VaeEncoder {
public:
    VaeEncoder(Params& params, const VaeDims& dims);
    ggml_tensor* build(GraphBuilder& g, ggml_tensor* pixels) const;  // [W, H, 3, N] -> [w, h, 2*latent, N]

    // build's two parts; between them are features [w, h, width(), 1].
    ggml_tensor* build_levels(GraphBuilder& g, ggml_tensor* pixels, VaeNorms& norms) const;
    ggml_tensor* build_middle(GraphBuilder& g, ggml_tensor* features) const;
    int64_t width() const { return dims_.encoder.back(); }
    int64_t level_norms() const;  // the group norms of build_levels

private:
    const VaeDims dims_;
    Conv2d conv_in_, conv_out_, quant_;
    Norm norm_out_;
    std::vector<vae::Level> levels_;
    vae::Middle middle_;
};

class VaeDecoder {
public:
    VaeDecoder(Params& params, const VaeDims& dims);
    ggml_tensor* build(GraphBuilder& g, ggml_tensor* latents) const;  // [w, h, latent, N] -> [W, H, 3, N]

    // build's two parts; between them are features [w, h, width(), 1].
    ggml_tensor* build_middle(GraphBuilder& g, ggml_tensor* latents) const;
    ggml_tensor* build_levels(GraphBuilder& g, ggml_tensor* features, VaeNorms& norms) const;
    int64_t width() const { return dims_.decoder.back(); }
    int64_t level_norms() const;  // the group norms of build_levels

private:
    const VaeDims dims_;
    Conv2d conv_in_, conv_out_, post_quant_;
    Norm norm_out_;
    std::vector<vae::Level> levels_;  // from the deepest
    vae::Middle middle_;
};

}  // namespace dg
