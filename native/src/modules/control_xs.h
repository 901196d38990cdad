// ControlNet-XS for SDXL (diffusers' ControlNetXSAdapter in a UNetControlNetXSModel). A narrow copy of the UNet's way down runs beside
// it: before each sub-block it takes what the UNet has, and after each it adds to it. Dimensions come from the weights, but for those of
// XsConfig.
#pragma once

#include <vector>

#include "modules/companion.h"
#include "modules/text_regions.h"
#include "modules/unet.h"

namespace dg {

// What weights do not tell: config.json does.
struct XsConfig {
    std::vector<int64_t> heads;  // of each level
    int64_t groups = 32;  // most groups of a norm (max_norm_num_groups)
    float mix      = 1;  // time_embedding_mix
    bool bgr       = false;  // conditioning_channel_order
};

struct XsDims {
    std::vector<int64_t> base, channels;  // of each level: the UNet's width and its own
    std::vector<int64_t> resnets;
    std::vector<std::vector<int64_t>> depth;  // per level and resnet: transformer blocks after it
    int64_t mid_depth  = 0;
    int64_t in         = 0;  // channels of the latents
    int64_t time_embed = 0, context = 0;
    bool learns_time = false;  // it has a time embedding of its own
    std::vector<int64_t> hint;  // output channels of the picture's convolutions before the last
    int64_t hint_channels = 0;  // of the control picture
    XsConfig config;

    int64_t hint_downscale() const;
    UnetDims unet() const;  // that it is for, as far as it tells
};

// Whether the weights are a ControlNet-XS and not a ControlNet.
bool is_control_xs(const Source& source);
XsDims infer_xs_dims(const Source& source, XsConfig config);

class ControlXs {
public:
    ControlXs(Params& params, const XsDims& dims);

    // pixels [W, H, hint_channels, N] in [0, 1] -> [w, h, channels[0], N].
    ggml_tensor* embed_hint(GraphBuilder& g, ggml_tensor* pixels) const;

    struct Inputs {
        ggml_tensor* hint;  // [w, h, channels[0], 1]
        ggml_tensor* scale;  // [1]: what every addition to the UNet is multiplied by
        const Unet::Context* context;  // the texts
    };
    // Why it cannot run beside a UNet; "" if it can.
    std::string unfit(const UnetDims& unet) const;

    const XsDims dims;

private:
    friend class XsRun;

    struct Block {
        Norm norm1, norm2, norm3;
        Linear q1, k1, v1, out1, q2, k2, v2, out2, ff_in, ff_out;
    };
    struct Transformer {
        Norm norm;
        Linear in, out;
        std::vector<Block> blocks;
        int64_t heads = 1;
    };
    // A sub-block. take: what of the UNet joins its input. give: what is added to the UNet.
    struct Step {
        Conv2d take, give;
        Conv2d halve;  // of a halving; then there is no resnet
        std::vector<Resnet> resnets;  // one; two in the middle
        std::vector<std::pair<int, int>> groups;  // of each resnet's norms
        float eps = 1e-5f;
        Transformer transformer;  // after the first resnet; without blocks: none
    };
    Transformer make_transformer(Params& p, const std::string& name, int64_t channels, int64_t depth,
                                 int64_t heads) const;

    std::vector<Conv2d> hint_;
    Linear time1_, time2_;
    Conv2d in_, give_;
    std::vector<Step> steps_;  // the middle is the last
    std::vector<Conv2d> rise_;  // for each skip
};

// One evaluation of the net beside a UNet.
class XsRun : public Companion {
public:
    XsRun(const ControlXs& net, const ControlXs::Inputs& in) : net_(net), in_(in) {}

    ggml_tensor* time(GraphBuilder& g, ggml_tensor* sinusoids, ggml_tensor* own) override;
    ggml_tensor* enter(GraphBuilder& g, ggml_tensor* sample, ggml_tensor* x) override;
    ggml_tensor* step(GraphBuilder& g, ggml_tensor* in, ggml_tensor* out, ggml_tensor* embedding) override;
    ggml_tensor* rise(GraphBuilder& g, size_t skip, ggml_tensor* x) override;

private:
    ggml_tensor* give(GraphBuilder& g, const Conv2d& conv, ggml_tensor* from, ggml_tensor* to) const;
    ggml_tensor* transformer(GraphBuilder& g, const ControlXs::Transformer& t, ggml_tensor* x, int groups) const;
    ggml_tensor* block(GraphBuilder& g, const ControlXs::Block& b, ggml_tensor* x, const AttentionSite& site) const;

    const ControlXs& net_;
    const ControlXs::Inputs in_;
    ggml_tensor* x_ = nullptr;  // its own features
    size_t next_    = 0;  // of the steps
    std::vector<ggml_tensor*> skips_;
};

}  // namespace dg
