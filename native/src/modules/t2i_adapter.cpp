#include "modules/t2i_adapter.h"

#include "base/error.h"

namespace dg {

namespace {

const std::string kPrefix = "controlnet.";
const std::string kBody   = kPrefix + "body";

constexpr size_t kHalved = 2;  // the block that halves its input: full_adapter_xl has one

// Half the size, rounded up: the mean of each 2 x 2 pixels. At an odd edge it is the mean of those that exist.
ggml_tensor* halve(GraphBuilder& g, ggml_tensor* x) {
    const int64_t right = x->ne[0] % 2, bottom = x->ne[1] % 2;
    if (right != 0) {
        ggml_tensor* edge = ggml_view_4d(g.ctx, x, 1, x->ne[1], x->ne[2], x->ne[3], x->nb[1], x->nb[2], x->nb[3],
                                         x->nb[0] * (x->ne[0] - 1));
        x                 = ggml_concat(g.ctx, x, ggml_cont(g.ctx, edge), 0);
    }
    if (bottom != 0) {
        ggml_tensor* edge = ggml_view_4d(g.ctx, x, x->ne[0], 1, x->ne[2], x->ne[3], x->nb[1], x->nb[2], x->nb[3],
                                         x->nb[1] * (x->ne[1] - 1));
        x                 = ggml_concat(g.ctx, x, ggml_cont(g.ctx, edge), 1);
    }
    return ggml_pool_2d(g.ctx, x, GGML_OP_POOL_AVG, 2, 2, 2, 2, 0, 0);
}

}  // namespace

bool is_t2i_adapter(const Source& source) {
    return source.has_prefix(kBody + ".0.resnets.");
}

T2iDims infer_t2i_dims(const Source& source) {
    T2iDims d;
    d.picture_channels = source.dim(kPrefix + "conv_in.weight", 2) / (d.downscale * d.downscale);
    while (source.has_prefix(dot(kBody, d.channels.size()) + ".")) {
        const std::string block  = dot(kBody, d.channels.size());
        const std::string second = block + ".resnets.0.block2.weight";
        d.channels.push_back(source.dim(second, 3));
        d.kernels.push_back(source.dim(second, 0));
        d.resnets.push_back(source.count(block + ".resnets", ".block1.weight"));
    }
    if (d.picture_channels < 1 || d.channels.size() > DG_MAX_LEVELS) {
        fail(DG_ERR_MODEL, "%s: a T2I-Adapter of %zu blocks, with pictures of %lld channels, is not known",
             source.path_of(kPrefix).c_str(), d.channels.size(), static_cast<long long>(d.picture_channels));
    }
    return d;
}

T2iAdapter::T2iAdapter(Params& p, const T2iDims& dims) : dims(dims) {
    int64_t width = dims.channels[0];
    in_           = p.conv2d(kPrefix + "conv_in", 3, dims.picture_channels * dims.downscale * dims.downscale, width);
    for (size_t i = 0; i < dims.channels.size(); i++) {
        const int64_t out = dims.channels[i];
        Block b;
        if (out != width) {
            b.in = p.conv2d(dot(kBody, i) + ".in_conv", 1, width, out);
        }
        for (int64_t r = 0; r < dims.resnets[i]; r++) {
            const std::string name = dot(dot(kBody, i) + ".resnets", r);
            b.first.push_back(p.conv2d(name + ".block1", 3, out, out));
            b.second.push_back(p.conv2d(name + ".block2", static_cast<int>(dims.kernels[i]), out, out));
        }
        blocks_.push_back(b);
        width = out;
    }
}

int64_t T2iAdapter::scale(size_t block) const {
    return block < kHalved ? dims.downscale : 2 * dims.downscale;
}

int64_t T2iAdapter::values(size_t block, int64_t height, int64_t width) const {
    const int64_t s = scale(block);
    return dims.channels[block] * ((height + s - 1) / s) * ((width + s - 1) / s);
}

std::vector<ggml_tensor*> T2iAdapter::build(GraphBuilder& g, ggml_tensor* pixels) const {
    std::vector<ggml_tensor*> out;
    ggml_tensor* x = conv2d(g, in_, pixel_unshuffle(g, pixels, dims.downscale));
    for (size_t i = 0; i < blocks_.size(); i++) {
        const Block& b = blocks_[i];
        if (i == kHalved) {
            x = halve(g, x);
        }
        if (b.in.weight != nullptr) {
            x = conv2d(g, b.in, x, {1, 0});
        }
        for (size_t r = 0; r < b.first.size(); r++) {
            ConvOptions options;
            options.pad      = static_cast<int>(dims.kernels[i] / 2);
            options.residual = x;
            x                = conv2d(g, b.second[r], ggml_relu(g.ctx, conv2d(g, b.first[r], x)), options);
        }
        out.push_back(x);
    }
    return out;
}

}  // namespace dg
