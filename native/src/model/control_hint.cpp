// Control pictures: what ControlNets, T2I-Adapters and ControlNet-XS make of them, once for all steps.

#include <vector>

#include "model/compute_common.h"
#include "model/model.h"

namespace dg {

BuildFunction Model::control_hint_graph(int64_t batch, int64_t height, int64_t width) const {
    const ControlNet* net = control_.get();
    const T2iAdapter* t2i = t2i_.get();
    const ControlXs* xs   = xs_.get();
    return [=](GraphBuilder& g) {
        const int64_t channels = net != nullptr  ? net->dims.hint_channels
                                 : xs != nullptr ? xs->dims.hint_channels
                                                 : t2i->dims.picture_channels;
        ggml_tensor* pixels    = g.input(GGML_TYPE_F32, width, height, channels, batch);
        if (t2i == nullptr) {
            g.output(net != nullptr ? net->embed_hint(g, pixels) : xs->embed_hint(g, pixels));
            return;
        }
        for (ggml_tensor* features : t2i->build(g, pixels)) {
            g.output(features);
        }
    };
}

void Model::control_hint(int64_t batch, int64_t height, int64_t width, const float* pixels, float* embedding,
                         size_t count) {
    use(kControl, "control_hint");
    int64_t scale = 0, channels = 0, made = 0;  // made: channels of an embedded picture
    if (control_ != nullptr) {
        scale    = control_->dims.hint_downscale();
        channels = control_->dims.hint_channels;
        made     = control_->dims.unet.model_channels();
    } else if (xs_ != nullptr) {
        scale    = xs_->dims.hint_downscale();
        channels = xs_->dims.hint_channels;
        made     = xs_->dims.channels[0];
    } else {
        scale    = t2i_->dims.downscale;
        channels = t2i_->dims.picture_channels;
    }
    check_pictures(batch, height, width, scale);
    check_pointer("pixels", pixels);
    check_pointer("embedding", embedding);
    std::vector<int64_t> sizes;  // of the results
    if (made > 0) {
        sizes.push_back(batch * made * (height / scale) * (width / scale));
    }
    for (size_t i = 0; made == 0 && i < t2i_->dims.channels.size(); i++) {
        sizes.push_back(batch * t2i_->values(i, height, width));
    }
    int64_t total = 0;
    std::vector<HostOutput> outputs;
    for (const int64_t size : sizes) {
        outputs.push_back({embedding + total, static_cast<size_t>(size)});
        total += size;
    }
    check_count("embedding", count, total);
    run(kControl, shape_key("control_hint", {batch, height, width}), control_hint_graph(batch, height, width),
        {input_of(pixels, batch * channels * height * width)}, outputs);
}

// How many values one row of each block's features has; empty where there are none.
std::vector<int64_t> Model::check_blocks(const dg_unet_input& in) const {
    std::vector<int64_t> values;
    if (in.block_rows == 0 && in.block_count == 0) {
        return values;
    }
    if (in.block_rows != 1 && in.block_rows != in.batch) {
        fail(DG_ERR_ARGUMENT, "block_rows: %lld is neither 1 nor the batch of %lld",
             static_cast<long long>(in.block_rows), static_cast<long long>(in.batch));
    }
    check_pointer("block_features", in.block_features);
    int64_t total = 0;
    for (const BlockShape& s : block_shapes(unet_->dims, in.height, in.width)) {
        values.push_back(s.channels * s.height * s.width);
        total += in.block_rows * values.back();
    }
    check_count("block_features", static_cast<size_t>(in.block_count), total);
    return values;
}

}  // namespace dg
