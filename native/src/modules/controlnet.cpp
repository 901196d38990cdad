#include "modules/controlnet.h"

#include <algorithm>

#include "base/error.h"

namespace dg {

namespace {

const std::string kPrefix = "controlnet.";

}  // namespace

// The hint's convolutions come in pairs after the first, the second of each pair with stride 2.
int64_t ControlDims::hint_downscale() const {
    return int64_t{1} << ((hint.size() - 1) / 2);
}

ControlDims infer_control_dims(const Source& source) {
    ControlDims d;
    const std::string embed = kPrefix + "controlnet_cond_embedding.";
    d.unet                  = infer_unet_dims(source, kPrefix);
    d.hint_channels         = source.dim(embed + "conv_in.weight", 2);
    d.hint.push_back(source.dim(embed + "conv_in.weight", 3));
    for (int64_t i = 0; i < source.count(embed + "blocks", ".weight"); i++) {
        d.hint.push_back(source.dim(dot(embed + "blocks", i) + ".weight", 3));
    }
    d.fuse_width  = source.dim(kPrefix + "task_embedding", 0);
    d.types       = source.dim(kPrefix + "task_embedding", 1);
    d.fuse_layers = source.count(kPrefix + "transformer_layes", ".ln_1.weight");
    return d;
}

std::vector<ResidualShape> residual_shapes(const UnetDims& d, int64_t height, int64_t width) {
    std::vector<ResidualShape> shapes{{d.channels[0], height, width}};
    for (size_t l = 0; l < d.channels.size(); l++) {
        for (int64_t i = 0; i < d.down_resnets[l]; i++) {
            shapes.push_back({d.channels[l], height, width});
        }
        if (l + 1 < d.channels.size()) {
            height = (height + 1) / 2;
            width  = (width + 1) / 2;
            shapes.push_back({d.channels[l], height, width});
        }
    }
    shapes.push_back({d.channels.back(), height, width});
    return shapes;
}

ControlNet::ControlNet(Params& p, const ControlDims& dims) : dims(dims) {
    unet_                   = std::make_unique<Unet>(p, dims.unet);
    const std::string embed = kPrefix + "controlnet_cond_embedding.";
    int64_t width           = dims.hint_channels;
    for (size_t i = 0; i < dims.hint.size(); i++) {
        hint_.push_back(p.conv2d(i == 0 ? embed + "conv_in" : dot(embed + "blocks", i - 1), 3, width, dims.hint[i]));
        width = dims.hint[i];
    }
    hint_.push_back(p.conv2d(embed + "conv_out", 3, width, dims.unet.model_channels()));
    const auto shapes = residual_shapes(dims.unet, 1, 1);
    for (size_t i = 0; i + 1 < shapes.size(); i++) {
        down_.push_back(
            p.conv2d(dot(kPrefix + "controlnet_down_blocks", i), 1, shapes[i].channels, shapes[i].channels));
    }
    mid_ = p.conv2d(kPrefix + "controlnet_mid_block", 1, shapes.back().channels, shapes.back().channels);
    if (dims.types == 0) {
        return;
    }
    const int64_t w = dims.fuse_width;
    tasks_          = p.table(kPrefix + "task_embedding", w, dims.types);
    for (int64_t i = 0; i < dims.fuse_layers; i++) {
        const std::string name = dot(kPrefix + "transformer_layes", i);
        Fuse f;
        f.norm1 = p.norm(name + ".ln_1", w);
        f.v     = p.linear(name + ".attn.to_v", w, w, true, true);
        f.out   = p.linear(name + ".attn.out_proj", w, w, true, true);
        f.norm2 = p.norm(name + ".ln_2", w);
        f.fc    = p.linear(name + ".mlp.c_fc", w, 4 * w, true, true);
        f.proj  = p.linear(name + ".mlp.c_proj", 4 * w, w, true, true);
        fuse_.push_back(f);
    }
    spatial_ = p.linear(kPrefix + "spatial_ch_projs", w, dims.unet.model_channels(), true, true);
    type1_   = p.linear(kPrefix + "control_add_embedding.linear_1", 256 * dims.types, dims.unet.time_embed, true, true);
    type2_ =
        p.linear(kPrefix + "control_add_embedding.linear_2", dims.unet.time_embed, dims.unet.time_embed, true, true);
}

ggml_tensor* embed_hint(GraphBuilder& g, const std::vector<Conv2d>& convolutions, ggml_tensor* x) {
    for (size_t i = 0; i < convolutions.size(); i++) {
        const bool inner = i > 0 && i + 1 < convolutions.size();
        ConvOptions options;
        options.stride = inner && i % 2 == 0 ? 2 : 1;
        x              = conv2d(g, convolutions[i], x, options);
        if (i + 1 < convolutions.size()) {
            x = silu(g, x);
        }
    }
    return x;
}

ggml_tensor* ControlNet::embed_hint(GraphBuilder& g, ggml_tensor* x) const {
    return dg::embed_hint(g, hint_, x);
}

// A Union net's addition after the first convolution: a hint, with a shift for every channel. A small transformer computes the shift
// from the means of hint and sample. The hint is weighted before the transformer, and the shift behind it.
ggml_tensor* ControlNet::fused_hint(GraphBuilder& g, ggml_tensor* x, ggml_tensor* hint, int32_t kind,
                                    ggml_tensor* weight) const {
    const auto mean = [&](ggml_tensor* t) {  // [w, h, C, N] -> [C, 1, N]
        ggml_tensor* flat = ggml_reshape_3d(g.ctx, t, t->ne[0] * t->ne[1], t->ne[2], t->ne[3]);
        return ggml_reshape_3d(g.ctx, ggml_mean(g.ctx, flat), t->ne[2], 1, t->ne[3]);
    };
    const auto weighted = [&](ggml_tensor* t) { return weight == nullptr ? t : ggml_mul(g.ctx, t, weight); };
    const size_t row    = ggml_row_size(tasks_->type, tasks_->ne[0]);
    ggml_tensor* task =
        ggml_cast(g.ctx, ggml_view_1d(g.ctx, tasks_, tasks_->ne[0], row * static_cast<size_t>(kind)), GGML_TYPE_F32);
    ggml_tensor* h = weighted(ggml_add(g.ctx, mean(hint), task));  // [C, 1, N or 1]
    ggml_tensor* s = mean(x);
    if (h->ne[2] != s->ne[2]) {
        h = ggml_repeat(g.ctx, h, s);
    }
    ggml_tensor* seq = ggml_concat(g.ctx, h, s, 1);  // [C, 2, N]
    for (const Fuse& f : fuse_) {
        ggml_tensor* n = layer_norm(g, f.norm1, seq);
        seq            = ggml_add(g.ctx, seq, linear(g, f.out, linear(g, f.v, n)));
        n              = layer_norm(g, f.norm2, seq);
        seq            = ggml_add(g.ctx, seq, linear(g, f.proj, quick_gelu(g, linear(g, f.fc, n))));
    }
    ggml_tensor* first =
        ggml_cont(g.ctx, ggml_view_3d(g.ctx, seq, seq->ne[0], 1, seq->ne[2], seq->nb[1], seq->nb[2], 0));
    ggml_tensor* alpha = weighted(linear(g, spatial_, first));  // [model_channels, 1, N]
    alpha              = ggml_reshape_4d(g.ctx, alpha, 1, 1, alpha->ne[0], alpha->ne[2]);
    ggml_tensor* all   = hint->ne[3] == x->ne[3] ? weighted(hint) : ggml_repeat(g.ctx, weighted(hint), x);
    return ggml_add(g.ctx, all, alpha);
}

// The sum of what a Union net makes of all hints. Its transformer sees them as one sequence; since every token sees only itself, they go
// through it one by one.
ggml_tensor* ControlNet::fused_hints(GraphBuilder& g, ggml_tensor* x, const Inputs& in) const {
    if (in.weights == nullptr) {
        return fused_hint(g, x, in.hint, in.kinds[0], nullptr);
    }
    ggml_tensor* sum = nullptr;
    for (size_t i = 0; i < in.kinds.size(); i++) {
        ggml_tensor* h = in.hint;
        ggml_tensor* hint =
            ggml_view_4d(g.ctx, h, h->ne[0], h->ne[1], h->ne[2], 1, h->nb[1], h->nb[2], h->nb[3], i * h->nb[3]);
        ggml_tensor* one = fused_hint(g, x, hint, in.kinds[i], ggml_view_1d(g.ctx, in.weights, 1, i * sizeof(float)));
        sum              = sum == nullptr ? one : ggml_add(g.ctx, sum, one);
    }
    return sum;
}

std::vector<ggml_tensor*> ControlNet::build(GraphBuilder& g, const Inputs& in) const {
    ggml_tensor* more = nullptr;
    if (dims.types > 0) {
        more = linear(g, type2_, ggml_silu(g.ctx, linear(g, type1_, in.types)));
    }
    ggml_tensor* embedding  = unet_->embed(g, in.time, in.label, more);
    ggml_tensor* x          = unet_->enter(g, in.sample);
    x                       = ggml_add(g.ctx, x, dims.types > 0 ? fused_hints(g, x, in) : in.hint);
    const Unet::Trunk trunk = unet_->trunk(g, x, embedding, in.context);
    std::vector<ggml_tensor*> out;
    ConvOptions plain;
    plain.pad = 0;
    for (size_t i = 0; i < trunk.skips.size(); i++) {
        out.push_back(conv2d(g, down_[i], trunk.skips[i], plain));
    }
    out.push_back(conv2d(g, mid_, trunk.middle, plain));
    return out;
}

}  // namespace dg
