// ControlNet-XS: a model of its own, whose graph becomes a part of a UNet's.

#include "model/compute_common.h"
#include "model/model.h"

namespace dg {

void Model::open_xs(int index, const OpenParams& params) {
    XsConfig c;
    const size_t levels = static_cast<size_t>(source_.count("controlnet.down_blocks", ".resnets.0.conv1.weight"));
    for (size_t l = 0; l < levels && l < DG_MAX_LEVELS && config_.xs_heads[l] > 0; l++) {
        c.heads.push_back(config_.xs_heads[l]);
    }
    if (c.heads.empty()) {
        fail(DG_ERR_MODEL, "%s: the weights of a ControlNet-XS do not tell its heads (xs_heads)",
             source_.files()[0].path.c_str());
    }
    c.groups = config_.xs_norm_num_groups == 0 ? c.groups : config_.xs_norm_num_groups;
    c.mix    = config_.xs_time_mix_given != 0 ? static_cast<float>(config_.xs_time_mix) : c.mix;
    c.bgr    = config_.xs_bgr != 0;
    xs_      = std::make_unique<ControlXs>(prepare(index, params.device, params.type_unet),
                                           infer_xs_dims(source_, std::move(c)));
}

// What is needed of a net so that graphs of this UNet can have it; its weights need not be loaded.
const ControlXs& Model::joinable_xs(const Model& other) const {
    if (other.xs_ == nullptr) {
        fail(DG_ERR_ARGUMENT, "xs: the model is no ControlNet-XS");
    }
    const Component& net = other.components_[kControl];
    const Device& device = components_[kUnet].worker->device();
    const char* path     = other.source_.files()[0].path.c_str();
    if (net.worker->device().id != device.id || other.precision_.precision != precision_.precision) {
        fail(DG_ERR_UNSUPPORTED,
             "xs: %s: the net is on %s, the UNet on %s; both must be on one device, in one precision", path,
             net.worker->device().id.c_str(), device.id.c_str());
    }
    if (net.residency == DG_RESIDENT_STREAM) {
        fail(DG_ERR_UNSUPPORTED, "xs: %s: its weights cannot be streamed", path);
    }
    if (const std::string why = other.xs_->unfit(unet_->dims); !why.empty()) {
        fail(DG_ERR_UNSUPPORTED, "xs: %s: %s", path, why.c_str());
    }
    return *other.xs_;
}

XsBeside Model::join_xs(const dg_unet_input& in, Model* other) const {
    XsBeside out;
    if (other == nullptr) {
        return out;
    }
    out.net = &joinable_xs(*other);
    other->use(kControl, "unet_eval");
    const Component& net = other->components_[kControl];
    net.params->check_mapped();
    check_pointer("xs_hint", in.xs_hint);
    out.hint  = input_of(in.xs_hint, out.net->dims.channels[0] * in.height * in.width);
    out.scale = static_cast<float>(in.xs_scale);
    out.key   = shape_key(" xs", {net.loads});
    return out;
}

}  // namespace dg
