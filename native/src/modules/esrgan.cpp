#include "modules/esrgan.h"

#include <string>

#include "base/error.h"

namespace dg {

namespace {

const std::string kPrefix = "upscaler.";

constexpr int kDense      = 3;     // residual dense blocks in a block
constexpr int kConvs      = 5;     // convolutions in one of them
constexpr float kSlope    = 0.2f;  // of the leaky ReLU
constexpr float kResidual = 0.2f;  // weight of a residual branch

std::string conv_name(int64_t block, int dense, int conv) {
    return kPrefix + "body." + std::to_string(block) + ".rdb" + std::to_string(dense + 1) + ".conv" +
           std::to_string(conv + 1);
}

ggml_tensor* leaky(GraphBuilder& g, ggml_tensor* x) {
    return ggml_leaky_relu(g.ctx, x, kSlope, false);
}

}  // namespace

EsrganDims infer_esrgan_dims(const Source& source) {
    EsrganDims d;
    const int64_t inputs = source.dim(kPrefix + "conv_first.weight", 2);
    d.channels           = source.dim(kPrefix + "conv_first.weight", 3);
    d.growth             = source.dim(conv_name(0, 0, 0) + ".weight", 3);
    while (d.unshuffle * d.unshuffle * 3 < inputs) {
        d.unshuffle *= 2;
    }
    d.blocks = source.count(kPrefix + "body", ".rdb1.conv1.weight");
    while (source.find(kPrefix + "conv_up" + std::to_string(d.upsamplings + 1) + ".weight") != nullptr) {
        d.upsamplings++;
    }
    if (d.blocks == 0 || d.unshuffle * d.unshuffle * 3 != inputs || d.upsamplings > 4 || d.scale() < 1) {
        fail(DG_ERR_MODEL, "%s: an ESRGAN of %lld blocks, %lld input channels and %lld upsamplings is not known",
             source.path_of(kPrefix).c_str(), static_cast<long long>(d.blocks), static_cast<long long>(inputs),
             static_cast<long long>(d.upsamplings));
    }
    return d;
}

Esrgan::Esrgan(Params& p, const EsrganDims& dims) : dims(dims) {
    const int64_t c = dims.channels;
    first_          = p.conv2d(kPrefix + "conv_first", 3, 3 * dims.unshuffle * dims.unshuffle, c);
    for (int64_t b = 0; b < dims.blocks; b++) {
        for (int k = 0; k < kDense; k++) {
            Dense d;
            for (int i = 0; i < kConvs; i++) {
                d.push_back(p.conv2d(conv_name(b, k, i), 3, c + i * dims.growth, i + 1 < kConvs ? dims.growth : c));
            }
            body_.push_back(d);
        }
    }
    body_end_ = p.conv2d(kPrefix + "conv_body", 3, c, c);
    for (int64_t u = 1; u <= dims.upsamplings; u++) {
        up_.push_back(p.conv2d(kPrefix + "conv_up" + std::to_string(u), 3, c, c));
    }
    hr_   = p.conv2d(kPrefix + "conv_hr", 3, c, c);
    last_ = p.conv2d(kPrefix + "conv_last", 3, c, 3);
}

ggml_tensor* Esrgan::dense(GraphBuilder& g, const Dense& d, ggml_tensor* x) const {
    ggml_tensor* all = x;
    for (size_t i = 0; i + 1 < d.size(); i++) {
        all = ggml_concat(g.ctx, all, leaky(g, conv2d(g, d[i], all)), 2);
    }
    return ggml_add(g.ctx, x, ggml_scale(g.ctx, conv2d(g, d.back(), all), kResidual));
}

ggml_tensor* Esrgan::build(GraphBuilder& g, ggml_tensor* x) const {
    if (dims.unshuffle > 1) {
        x = pixel_unshuffle(g, x, dims.unshuffle);
    }
    ggml_tensor* start = conv2d(g, first_, x);
    x                  = start;
    for (size_t b = 0; b < body_.size(); b += kDense) {
        ggml_tensor* y = x;
        for (size_t k = 0; k < kDense; k++) {
            y = dense(g, body_[b + k], y);
        }
        x = ggml_add(g.ctx, x, ggml_scale(g.ctx, y, kResidual));
    }
    x = ggml_add(g.ctx, start, conv2d(g, body_end_, x));
    for (const Conv2d& up : up_) {
        x = leaky(g, conv2d(g, up, resize_nearest(g, x, 2 * x->ne[0], 2 * x->ne[1])));
    }
    return conv2d(g, last_, leaky(g, conv2d(g, hr_, x)));
}

}  // namespace dg
