// Control pictures: what ControlNets and T2I-Adapters make of them, once for all steps.

#include <vector>

#include "model/compute_common.h"
#include "model/model.h"

namespace dg {

BuildFunction Model::control_hint_graph(int64_t batch, int64_t height, int64_t width) const {
    const ControlNet* net = control_.get();
    const T2iAdapter* t2i = t2i_.get();
    return [=](GraphBuilder& g) {
        const int64_t channels = net != nullptr ? net->dims.hint_channels : t2i->dims.picture_channels;
        ggml_tensor* pixels    = g.input(GGML_TYPE_F32, width, height, channels, batch);
        if (net != nullptr) {
            g.output(net->embed_hint(g, pixels));
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
    const bool net         = control_ != nullptr;
    const int64_t scale    = net ? control_->dims.hint_downscale() : t2i_->dims.downscale;
    const int64_t channels = net ? control_->dims.hint_channels : t2i_->dims.picture_channels;
    check_pictures(batch, height, width, scale);
    check_pointer("pixels", pixels);
    check_pointer("embedding", embedding);
    std::vector<int64_t> sizes;  // of the results
    if (net) {
        sizes.push_back(batch * control_->dims.unet.model_channels() * (height / scale) * (width / scale));
    }
    for (size_t i = 0; !net && i < t2i_->dims.channels.size(); i++) {
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

}  // namespace dg
