#include "modules/yolo.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace dg {

namespace {

const std::string kModel = "detector.model";
constexpr float kEps     = 1e-3f;  // of the batch norms
constexpr int kPools     = 3;  // of the pyramid, each of 5 x 5
constexpr int64_t kBlock = 3;  // of a C2f with one bottleneck: its last convolution reads both halves and that

// The layers in the file, by their numbers.
constexpr int kFirst[kYoloStages] = {0, 1, 3, 5, 7};  // convolutions that halve
constexpr int kC2f[]              = {2, 4, 6, 8};
constexpr int kPyramid            = 9;
constexpr int kNeck[]             = {12, 15, 18, 21};  // C2f
constexpr int kDown[]             = {16, 19};  // convolutions that halve
constexpr int kHead               = 22;

std::string layer(int number) {
    return dot(kModel, number);
}

ggml_tensor* concat(GraphBuilder& g, ggml_tensor* a, ggml_tensor* b) {
    return ggml_concat(g.ctx, a, b, 2);
}

ggml_tensor* channels(GraphBuilder& g, ggml_tensor* x, int64_t from, int64_t count) {
    ggml_tensor* part = ggml_view_4d(g.ctx, x, x->ne[0], x->ne[1], count, x->ne[3], x->nb[1], x->nb[2], x->nb[3],
                                     x->nb[2] * static_cast<size_t>(from));
    return ggml_cont(g.ctx, part);
}

ggml_tensor* twice(GraphBuilder& g, ggml_tensor* x) {
    return resize_nearest(g, x, 2 * x->ne[0], 2 * x->ne[1]);
}

}  // namespace

int64_t YoloDims::anchors(int64_t height, int64_t width) const {
    int64_t n = 0;
    for (size_t s = kYoloStages - kYoloScales; s < kYoloStages; s++) {
        n += (height >> (s + 1)) * (width >> (s + 1));
    }
    return n;
}

YoloDims infer_yolo_dims(const Source& source) {
    YoloDims d;
    bool whole = true;
    for (size_t i = 0; i < kYoloStages; i++) {
        d.widths[i] = source.dim(layer(kFirst[i]) + ".conv.weight", 3);
        whole       = whole && d.widths[i] > 0;
    }
    for (size_t i = 0; i + 1 < kYoloStages; i++) {
        d.blocks[i]    = source.count(layer(kC2f[i]) + ".m", ".cv1.conv.weight");
        d.up_blocks[i] = source.count(layer(kNeck[i]) + ".m", ".cv1.conv.weight");
        whole          = whole && d.blocks[i] > 0 && d.up_blocks[i] > 0;
    }
    d.box_width   = source.dim(layer(kHead) + ".cv2.0.0.conv.weight", 3);
    d.class_width = source.dim(layer(kHead) + ".cv3.0.0.conv.weight", 3);
    d.bins        = source.dim(layer(kHead) + ".cv2.0.2.weight", 3) / 4;
    d.classes     = source.dim(layer(kHead) + ".cv3.0.2.weight", 3);
    d.fused       = source.find(layer(kFirst[0]) + ".bn.weight") == nullptr;
    if (!whole || d.box_width < 1 || d.class_width < 1 || d.bins < 1 || d.classes < 1) {
        fail(DG_ERR_MODEL, "%s: not a detector of YOLOv8: its stages or its head are incomplete",
             source.path_of(kModel).c_str());
    }
    return d;
}

Yolo::Conv Yolo::conv(Params& p, const std::string& name, int kernel, int64_t in, int64_t out, int stride) const {
    Conv c;
    c.conv   = p.conv2d(name + ".conv", kernel, in, out, dims.fused);
    c.stride = stride;
    if (!dims.fused) {
        c.norm     = p.norm(name + ".bn", out);
        c.mean     = p.vector(name + ".bn.running_mean", out);
        c.variance = p.vector(name + ".bn.running_var", out);
    }
    return c;
}

Yolo::C2f Yolo::c2f(Params& p, int number, int64_t in, int64_t out, int64_t blocks, bool shortcut) const {
    const std::string name = layer(number);
    const int64_t half     = out / 2;
    C2f c;
    c.shortcut = shortcut;
    c.in       = conv(p, name + ".cv1", 1, in, 2 * half);
    c.out      = conv(p, name + ".cv2", 1, (kBlock - 1 + blocks) * half, out);
    for (int64_t i = 0; i < blocks; i++) {
        c.blocks.push_back(conv(p, dot(name + ".m", i) + ".cv1", 3, half, half));
        c.blocks.push_back(conv(p, dot(name + ".m", i) + ".cv2", 3, half, half));
    }
    return c;
}

Yolo::Yolo(Params& p, const YoloDims& dims) : dims(dims) {
    const int64_t* w = dims.widths;
    for (size_t i = 0; i < kYoloStages; i++) {
        halve_.push_back(conv(p, layer(kFirst[i]), 3, i == 0 ? 3 : w[i - 1], w[i], 2));
        if (i > 0) {
            stages_.push_back(c2f(p, kC2f[i - 1], w[i], w[i], dims.blocks[i - 1], true));
        }
    }
    pool_in_  = conv(p, layer(kPyramid) + ".cv1", 1, w[4], w[4] / 2);
    pool_out_ = conv(p, layer(kPyramid) + ".cv2", 1, (kPools + 1) * (w[4] / 2), w[4]);
    neck_.push_back(c2f(p, kNeck[0], w[4] + w[3], w[3], dims.up_blocks[0], false));
    neck_.push_back(c2f(p, kNeck[1], w[3] + w[2], w[2], dims.up_blocks[1], false));
    down_.push_back(conv(p, layer(kDown[0]), 3, w[2], w[2], 2));
    neck_.push_back(c2f(p, kNeck[2], w[2] + w[3], w[3], dims.up_blocks[2], false));
    down_.push_back(conv(p, layer(kDown[1]), 3, w[3], w[3], 2));
    neck_.push_back(c2f(p, kNeck[3], w[3] + w[4], w[4], dims.up_blocks[3], false));
    for (size_t s = 0; s < kYoloScales; s++) {
        const int64_t in = w[kYoloStages - kYoloScales + s];
        const auto add   = [&](const char* name, int64_t width, int64_t out) {
            const std::string at = dot(layer(kHead) + name, s);
            return Branch{conv(p, at + ".0", 3, in, width), conv(p, at + ".1", 3, width, width),
                          p.conv2d(at + ".2", 1, width, out)};
        };
        boxes_.push_back(add(".cv2", dims.box_width, 4 * dims.bins));
        classes_.push_back(add(".cv3", dims.class_width, dims.classes));
    }
}

ggml_tensor* Yolo::run(GraphBuilder& g, const Conv& c, ggml_tensor* x) const {
    ConvOptions options;
    options.stride = c.stride;
    options.pad    = static_cast<int>(c.conv.kernel / 2);
    x              = conv2d(g, c.conv, x, options);
    if (c.mean != nullptr) {  // (x - mean) / sqrt(variance + eps) * weight + bias
        ggml_tensor* scale =
            ggml_div(g.ctx, c.norm.weight, ggml_sqrt(g.ctx, ggml_scale_bias(g.ctx, c.variance, 1.0f, kEps)));
        ggml_tensor* shift = ggml_sub(g.ctx, c.norm.bias, ggml_mul(g.ctx, c.mean, scale));
        x                  = ggml_add(g.ctx, ggml_mul(g.ctx, x, per_channel(g, scale)), per_channel(g, shift));
    }
    return silu(g, x);
}

ggml_tensor* Yolo::run(GraphBuilder& g, const C2f& c, ggml_tensor* x) const {
    ggml_tensor* all   = run(g, c.in, x);
    const int64_t half = all->ne[2] / 2;
    ggml_tensor* y     = channels(g, all, half, half);
    for (size_t i = 0; i < c.blocks.size(); i += 2) {
        ggml_tensor* made = run(g, c.blocks[i + 1], run(g, c.blocks[i], y));
        y                 = c.shortcut ? ggml_add(g.ctx, y, made) : made;
        all               = concat(g, all, y);
    }
    return run(g, c.out, all);
}

ggml_tensor* Yolo::run(GraphBuilder& g, const Branch& b, ggml_tensor* x) const {
    ConvOptions point;
    point.pad = 0;
    return conv2d(g, b.last, run(g, b.second, run(g, b.first, x)), point);
}

ggml_tensor* Yolo::build(GraphBuilder& g, ggml_tensor* x) const {
    ggml_tensor* stage[kYoloStages] = {};
    for (size_t i = 0; i < kYoloStages; i++) {
        x        = run(g, halve_[i], x);
        x        = i > 0 ? run(g, stages_[i - 1], x) : x;
        stage[i] = x;
    }
    ggml_tensor* pooled = run(g, pool_in_, x);
    ggml_tensor* all    = pooled;
    for (int i = 0; i < kPools; i++) {
        pooled = ggml_pool_2d(g.ctx, pooled, GGML_OP_POOL_MAX, 5, 5, 1, 1, 2, 2);
        all    = concat(g, all, pooled);
    }
    ggml_tensor* deep   = run(g, pool_out_, all);
    ggml_tensor* middle = run(g, neck_[0], concat(g, twice(g, deep), stage[3]));
    ggml_tensor* scales[kYoloScales];
    scales[0] = run(g, neck_[1], concat(g, twice(g, middle), stage[2]));
    scales[1] = run(g, neck_[2], concat(g, run(g, down_[0], scales[0]), middle));
    scales[2] = run(g, neck_[3], concat(g, run(g, down_[1], scales[1]), deep));

    ggml_tensor* out = nullptr;
    for (size_t s = 0; s < kYoloScales; s++) {
        ggml_tensor* cells = concat(g, run(g, boxes_[s], scales[s]), run(g, classes_[s], scales[s]));
        cells              = ggml_reshape_3d(g.ctx, cells, cells->ne[0] * cells->ne[1], cells->ne[2], cells->ne[3]);
        out                = out == nullptr ? cells : ggml_concat(g.ctx, out, cells, 0);
    }
    return out;
}

}  // namespace dg
