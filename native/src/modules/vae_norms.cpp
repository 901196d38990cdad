#include "modules/vae_norms.h"

namespace dg {

ggml_tensor* VaeNorms::build(GraphBuilder& g, const Norm& norm, ggml_tensor* x) {
    if (reports_) {
        const auto scaled = [&](int64_t v) { return v * x->ne[0] / core_.of_width; };
        ggml_tensor* core = ggml_view_3d(
            g.ctx, x, scaled(core_.width), scaled(core_.height), x->ne[2], x->nb[1], x->nb[2],
            static_cast<size_t>(scaled(core_.top)) * x->nb[1] + static_cast<size_t>(scaled(core_.left)) * x->nb[0]);
        g.output(group_moments(g, core, groups_));
    }
    return given_.empty() ? group_norm(g, norm, x, groups_, kEps) : group_norm_by(g, norm, x, given_.at(built_++));
}

}  // namespace dg
