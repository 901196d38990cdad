#include "modules/vae.h"

#include <algorithm>

#include "base/error.h"

namespace dg {

namespace {

vae::Middle make_middle(Params& p, const std::string& name, int64_t c, bool attention) {
    vae::Middle m;
    m.first  = make_resnet(p, name + ".resnets.0", c, c);
    m.second = make_resnet(p, name + ".resnets.1", c, c);
    if (!attention) {
        return m;
    }
    const std::string a = name + ".attentions.0";
    m.attention.norm    = p.norm(a + ".group_norm", c);
    m.attention.q       = p.linear(a + ".to_q", c, c, true, true);
    m.attention.k       = p.linear(a + ".to_k", c, c, true, true);
    m.attention.v       = p.linear(a + ".to_v", c, c, true, true);
    m.attention.out     = p.linear(a + ".to_out.0", c, c, true, true);
    return m;
}

ggml_tensor* resnet(GraphBuilder& g, const Resnet& r, ggml_tensor* x, VaeNorms& norms) {
    return resnet(g, r, x, nullptr, [&](const Norm& norm, ggml_tensor* h) { return norms.build(g, norm, h); });
}

// The attention has one head over all positions.
ggml_tensor* middle(GraphBuilder& g, const vae::Middle& m, ggml_tensor* x, VaeNorms& norms) {
    x = resnet(g, m.first, x, norms);
    if (m.attention.q.weight != nullptr) {
        ggml_tensor* y = to_tokens(g, norms.build(g, m.attention.norm, x));
        y = attention(g, linear(g, m.attention.q, y), linear(g, m.attention.k, y), linear(g, m.attention.v, y), 1);
        x = ggml_add(g.ctx, x, to_picture(g, linear(g, m.attention.out, y), x->ne[0], x->ne[1]));
    }
    return resnet(g, m.second, x, norms);
}

// Makes levels of the given widths; the output of each is the input of the next.
std::vector<vae::Level> make_levels(Params& p, const std::string& name, const std::string& resample, int64_t resnets,
                                    int64_t width, const std::vector<int64_t>& widths) {
    std::vector<vae::Level> levels(widths.size());
    for (size_t l = 0; l < widths.size(); l++) {
        const std::string level = dot(name, l);
        for (int64_t i = 0; i < resnets; i++) {
            levels[l].resnets.push_back(make_resnet(p, dot(level + ".resnets", i), width, widths[l]));
            width = widths[l];
        }
        if (l + 1 < widths.size()) {
            levels[l].resample = p.conv2d(level + resample, 3, width, width);
        }
    }
    return levels;
}

int64_t count_norms(const std::vector<vae::Level>& levels) {
    int64_t n = 0;
    for (const vae::Level& level : levels) {
        n += 2 * static_cast<int64_t>(level.resnets.size());
    }
    return n;
}

// Channels of the first convolutions of a list of blocks.
std::vector<int64_t> widths(const Source& source, const std::string& blocks) {
    std::vector<int64_t> out;
    for (int64_t l = 0; l < source.count(blocks, ".resnets.0.conv1.weight"); l++) {
        out.push_back(source.dim(dot(blocks, l) + ".resnets.0.conv1.weight", 3));
    }
    return out;
}

}  // namespace

VaeDims infer_vae_dims(const Source& source) {
    VaeDims d;
    const std::string down = "vae.encoder.down_blocks", up = "vae.decoder.up_blocks";
    d.encoder = widths(source, down);
    d.decoder = widths(source, up);
    std::reverse(d.decoder.begin(), d.decoder.end());
    d.encoder_resnets = source.count(down + ".0.resnets", ".conv1.weight");
    d.decoder_resnets = source.count(up + ".0.resnets", ".conv1.weight");
    d.latent = std::max(source.dim("vae.decoder.conv_in.weight", 2), source.dim("vae.encoder.conv_out.weight", 3) / 2);
    d.quant_conv      = source.find("vae.quant_conv.weight") != nullptr;
    d.post_quant_conv = source.find("vae.post_quant_conv.weight") != nullptr;
    d.attention       = source.has_prefix("vae.encoder.mid_block.attentions.") ||
                  source.has_prefix("vae.decoder.mid_block.attentions.");
    if (d.encoder.size() > DG_MAX_LEVELS || d.decoder.size() > DG_MAX_LEVELS || d.latent == 0 ||
        d.encoder.empty() != !source.has_prefix("vae.encoder.") ||
        d.decoder.empty() != !source.has_prefix("vae.decoder.") ||
        (!d.encoder.empty() && !d.decoder.empty() && d.encoder.size() != d.decoder.size())) {
        fail(DG_ERR_MODEL, "%s: the VAE is incomplete: %zu encoder and %zu decoder levels",
             source.path_of("vae.decoder.conv_in.weight").c_str(), d.encoder.size(), d.decoder.size());
    }
    return d;
}

VaeEncoder::VaeEncoder(Params& p, const VaeDims& dims) : dims_(dims) {
    const std::string e = "vae.encoder.";
    conv_in_            = p.conv2d(e + "conv_in", 3, 3, dims.encoder[0]);
    levels_ =
        make_levels(p, e + "down_blocks", ".downsamplers.0.conv", dims.encoder_resnets, dims.encoder[0], dims.encoder);
    const int64_t width = this->width();
    middle_             = make_middle(p, e + "mid_block", width, dims.attention);
    norm_out_           = p.norm(e + "conv_norm_out", width);
    conv_out_           = p.conv2d(e + "conv_out", 3, width, 2 * dims.latent);
    if (dims.quant_conv) {
        quant_ = p.conv2d("vae.quant_conv", 1, 2 * dims.latent, 2 * dims.latent);
    }
}

ggml_tensor* VaeEncoder::build_levels(GraphBuilder& g, ggml_tensor* x, VaeNorms& norms) const {
    x = conv2d(g, conv_in_, x);
    for (const vae::Level& level : levels_) {
        for (const Resnet& r : level.resnets) {
            x = resnet(g, r, x, norms);
        }
        if (level.resample.weight != nullptr) {  // one row and column of padding, below and to the right only
            x = conv2d(g, level.resample, pad_picture(g, x, 0, 1, 0, 1), {2, 0, nullptr, nullptr, true});
        }
    }
    return x;
}

ggml_tensor* VaeEncoder::build_middle(GraphBuilder& g, ggml_tensor* x) const {
    VaeNorms norms(dims_.groups);
    x = middle(g, middle_, x, norms);
    x = conv2d(g, conv_out_, silu(g, norms.build(g, norm_out_, x)));
    return dims_.quant_conv ? conv2d(g, quant_, x, {1, 0}) : x;
}

ggml_tensor* VaeEncoder::build(GraphBuilder& g, ggml_tensor* pixels) const {
    VaeNorms norms(dims_.groups);
    return build_middle(g, build_levels(g, pixels, norms));
}

int64_t VaeEncoder::level_norms() const {
    return count_norms(levels_);
}

VaeDecoder::VaeDecoder(Params& p, const VaeDims& dims) : dims_(dims) {
    const std::string d = "vae.decoder.";
    const int64_t width = this->width();
    if (dims.post_quant_conv) {
        post_quant_ = p.conv2d("vae.post_quant_conv", 1, dims.latent, dims.latent);
    }
    conv_in_  = p.conv2d(d + "conv_in", 3, dims.latent, width);
    middle_   = make_middle(p, d + "mid_block", width, dims.attention);
    levels_   = make_levels(p, d + "up_blocks", ".upsamplers.0.conv", dims.decoder_resnets, width,
                            {dims.decoder.rbegin(), dims.decoder.rend()});
    norm_out_ = p.norm(d + "conv_norm_out", dims.decoder[0]);
    conv_out_ = p.conv2d(d + "conv_out", 3, dims.decoder[0], 3);
}

ggml_tensor* VaeDecoder::build_middle(GraphBuilder& g, ggml_tensor* x) const {
    if (dims_.post_quant_conv) {
        x = conv2d(g, post_quant_, x, {1, 0});
    }
    VaeNorms norms(dims_.groups);
    return middle(g, middle_, conv2d(g, conv_in_, x), norms);
}

ggml_tensor* VaeDecoder::build_levels(GraphBuilder& g, ggml_tensor* x, VaeNorms& norms) const {
    for (const vae::Level& level : levels_) {
        for (const Resnet& r : level.resnets) {
            x = resnet(g, r, x, norms);
        }
        if (level.resample.weight != nullptr) {
            x = conv2d(g, level.resample, resize_nearest(g, x, 2 * x->ne[0], 2 * x->ne[1]),
                       {1, 1, nullptr, nullptr, true});
        }
    }
    return conv2d(g, conv_out_, silu(g, norms.build(g, norm_out_, x)));
}

ggml_tensor* VaeDecoder::build(GraphBuilder& g, ggml_tensor* latents) const {
    VaeNorms norms(dims_.groups);
    return build_levels(g, build_middle(g, latents), norms);
}

int64_t VaeDecoder::level_norms() const {
    return count_norms(levels_) + 1;
}

}  // namespace dg
