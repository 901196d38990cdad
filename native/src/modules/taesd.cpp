#include "modules/taesd.h"

#include <string>

#include "base/error.h"

namespace dg {

namespace {

std::string layer_name(TaesdHalf::Side side, size_t i) {
    return std::string(side == TaesdHalf::Side::Encoder ? "taesd.encoder.layers." : "taesd.decoder.layers.") +
           std::to_string(i);
}

bool has_layer(const Source& source, TaesdHalf::Side side, size_t i) {
    const std::string name = layer_name(side, i);
    return source.find(name + ".weight") != nullptr || source.find(name + ".conv.0.weight") != nullptr;
}

ggml_tensor* block(GraphBuilder& g, const Conv2d* conv, ggml_tensor* x) {
    ggml_tensor* h = ggml_relu(g.ctx, conv2d(g, conv[0], x));
    h              = ggml_relu(g.ctx, conv2d(g, conv[1], h));
    return ggml_relu(g.ctx, ggml_add(g.ctx, conv2d(g, conv[2], h), x));
}

constexpr float kRange = 3.0f;  // the decoder's first step, tanh(x / 3) * 3

}  // namespace

// Layers with weights are convolutions and blocks. In the encoder a convolution without a bias halves the picture. In the decoder
// some numbers have no weights: the first is the ReLU after the first convolution, each later one doubles the picture.
TaesdHalf::TaesdHalf(const Source& source, Params& p, Side side) : side_(side) {
    const auto shape = [&](const std::string& name) {
        const SourceTensor* t = source.find(name + ".weight");
        if (t == nullptr) {
            fail(DG_ERR_MODEL, "%s: tensor '%s.weight' is missing", source.path_of(name).c_str(), name.c_str());
        }
        return t;
    };
    for (size_t i = 0; has_layer(source, side, i) || has_layer(source, side, i + 1); i++) {
        const std::string name = layer_name(side, i);
        Layer layer;
        if (!has_layer(source, side, i)) {
            layer.kind = i == 1 ? Layer::Kind::Relu : Layer::Kind::Upsample;
        } else if (source.find(name + ".weight") != nullptr) {
            const SourceTensor* w = shape(name);
            const bool bias       = source.find(name + ".bias") != nullptr;
            layer.conv[0]         = p.conv2d(name, 3, w->ne[2], w->ne[3], bias);
            layer.kind            = side == Side::Encoder && !bias ? Layer::Kind::Downsample : Layer::Kind::Conv;
        } else {
            layer.kind = Layer::Kind::Block;
            for (int c = 0; c < 3; c++) {
                const std::string conv = name + ".conv." + std::to_string(2 * c);
                const SourceTensor* w  = shape(conv);
                layer.conv[c]          = p.conv2d(conv, 3, w->ne[2], w->ne[3]);
            }
        }
        if (layer.kind == Layer::Kind::Downsample || layer.kind == Layer::Kind::Upsample) {
            resamples_++;
        }
        layers_.push_back(layer);
    }
    if (layers_.front().kind != Layer::Kind::Conv || layers_.back().kind != Layer::Kind::Conv) {
        fail(DG_ERR_MODEL, "%s: not a TAESD: its %s does not begin and end with a convolution",
             source.path_of(layer_name(side, 0) + ".weight").c_str(), side == Side::Encoder ? "encoder" : "decoder");
    }
}

int64_t TaesdHalf::latent_channels() const {
    return side_ == Side::Encoder ? layers_.back().conv[0].out : layers_.front().conv[0].in;
}

int64_t TaesdHalf::width() const {
    return layers_.front().conv[0].out;
}

ggml_tensor* TaesdHalf::build(GraphBuilder& g, ggml_tensor* x) const {
    x = side_ == Side::Encoder ? ggml_scale_bias(g.ctx, x, 0.5f, 0.5f)  // to [0, 1]
                               : ggml_scale(g.ctx, ggml_tanh(g.ctx, ggml_scale(g.ctx, x, 1.0f / kRange)), kRange);
    ConvOptions halving;
    halving.stride = 2;
    for (const Layer& layer : layers_) {
        switch (layer.kind) {
            case Layer::Kind::Conv: x = conv2d(g, layer.conv[0], x); break;
            case Layer::Kind::Downsample: x = conv2d(g, layer.conv[0], x, halving); break;
            case Layer::Kind::Relu: x = ggml_relu(g.ctx, x); break;
            case Layer::Kind::Upsample: x = resize_nearest(g, x, 2 * x->ne[0], 2 * x->ne[1]); break;
            case Layer::Kind::Block: x = block(g, layer.conv, x); break;
        }
    }
    return side_ == Side::Encoder ? x : ggml_scale_bias(g.ctx, x, 2.0f, -1.0f);  // to [-1, 1]
}

}  // namespace dg
