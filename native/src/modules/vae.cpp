#include "modules/vae.h"

#include <algorithm>

#include "base/error.h"

namespace dg {

namespace {

vae::Resnet make_resnet(Params& p, const std::string& name, int64_t in, int64_t out) {
    vae::Resnet r;
    r.norm1        = p.norm(name + ".norm1", in);
    r.conv1        = p.conv2d(name + ".conv1", 3, in, out);
    r.norm2        = p.norm(name + ".norm2", out);
    r.conv2        = p.conv2d(name + ".conv2", 3, out, out);
    r.has_shortcut = in != out;
    if (r.has_shortcut) {
        r.shortcut = p.conv2d(name + ".conv_shortcut", 1, in, out);
    }
    return r;
}

vae::Middle make_middle(Params& p, const std::string& name, int64_t c) {
    vae::Middle m;
    m.first             = make_resnet(p, name + ".resnets.0", c, c);
    m.second            = make_resnet(p, name + ".resnets.1", c, c);
    const std::string a = name + ".attentions.0";
    m.attention.norm    = p.norm(a + ".group_norm", c);
    m.attention.q       = p.linear(a + ".to_q", c, c, true, true);
    m.attention.k       = p.linear(a + ".to_k", c, c, true, true);
    m.attention.v       = p.linear(a + ".to_v", c, c, true, true);
    m.attention.out     = p.linear(a + ".to_out.0", c, c, true, true);
    return m;
}

ggml_tensor* resnet(GraphBuilder& g, const vae::Resnet& r, ggml_tensor* x, VaeNorms& norms) {
    ggml_tensor* h    = conv2d(g, r.conv1, silu(g, norms.build(g, r.norm1, x)));
    h                 = silu(g, norms.build(g, r.norm2, h));
    ggml_tensor* skip = r.has_shortcut ? conv2d(g, r.shortcut, x, {1, 0}) : x;
    return conv2d(g, r.conv2, h, {1, 1, nullptr, skip});
}

// One head over all positions.
ggml_tensor* middle(GraphBuilder& g, const vae::Middle& m, ggml_tensor* x, VaeNorms& norms) {
    x              = resnet(g, m.first, x, norms);
    ggml_tensor* y = to_tokens(g, norms.build(g, m.attention.norm, x));
    y = attention(g, linear(g, m.attention.q, y), linear(g, m.attention.k, y), linear(g, m.attention.v, y), 1);
    x = ggml_add(g.ctx, x, to_picture(g, linear(g, m.attention.out, y), x->ne[0], x->ne[1]));
    return resnet(g, m.second, x, norms);
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
    if (d.encoder.size() > DG_MAX_LEVELS || d.decoder.size() > DG_MAX_LEVELS || d.latent == 0 ||
        d.encoder.empty() != !source.has_prefix("vae.encoder.") ||
        d.decoder.empty() != !source.has_prefix("vae.decoder.")) {
        fail(DG_ERR_MODEL, "%s: the VAE is incomplete: %zu encoder and %zu decoder levels",
             source.path_of("vae.decoder.conv_in.weight").c_str(), d.encoder.size(), d.decoder.size());
    }
    return d;
}

VaeEncoder::VaeEncoder(Params& p, const VaeDims& dims) : dims_(dims) {
    const std::string e = "vae.encoder.";
    conv_in_            = p.conv2d(e + "conv_in", 3, 3, dims.encoder[0]);
    int64_t width       = dims.encoder[0];
    for (size_t l = 0; l < dims.encoder.size(); l++) {
        const std::string name = dot(e + "down_blocks", l);
        vae::Level level;
        for (int64_t i = 0; i < dims.encoder_resnets; i++) {
            level.resnets.push_back(make_resnet(p, dot(name + ".resnets", i), width, dims.encoder[l]));
            width = dims.encoder[l];
        }
        level.has_resample = l + 1 < dims.encoder.size();
        if (level.has_resample) {
            level.resample = p.conv2d(name + ".downsamplers.0.conv", 3, width, width);
        }
        levels_.push_back(level);
    }
    middle_   = make_middle(p, e + "mid_block", width);
    norm_out_ = p.norm(e + "conv_norm_out", width);
    conv_out_ = p.conv2d(e + "conv_out", 3, width, 2 * dims.latent);
    if (dims.quant_conv) {
        quant_ = p.conv2d("vae.quant_conv", 1, 2 * dims.latent, 2 * dims.latent);
    }
}

ggml_tensor* VaeEncoder::build_levels(GraphBuilder& g, ggml_tensor* x, VaeNorms& norms) const {
    x = conv2d(g, conv_in_, x);
    for (const vae::Level& level : levels_) {
        for (const vae::Resnet& r : level.resnets) {
            x = resnet(g, r, x, norms);
        }
        if (level.has_resample) {  // one row and column of padding, below and to the right only
            x = conv2d(g, level.resample, pad_picture(g, x, 0, 1, 0, 1), {2, 0});
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
    const size_t levels = dims.decoder.size();
    int64_t width       = dims.decoder[levels - 1];
    if (dims.post_quant_conv) {
        post_quant_ = p.conv2d("vae.post_quant_conv", 1, dims.latent, dims.latent);
    }
    conv_in_ = p.conv2d(d + "conv_in", 3, dims.latent, width);
    middle_  = make_middle(p, d + "mid_block", width);
    for (size_t l = 0; l < levels; l++) {
        const std::string name = dot(d + "up_blocks", l);
        const int64_t out      = dims.decoder[levels - 1 - l];
        vae::Level level;
        for (int64_t i = 0; i < dims.decoder_resnets; i++) {
            level.resnets.push_back(make_resnet(p, dot(name + ".resnets", i), width, out));
            width = out;
        }
        level.has_resample = l + 1 < levels;
        if (level.has_resample) {
            level.resample = p.conv2d(name + ".upsamplers.0.conv", 3, width, width);
        }
        levels_.push_back(level);
    }
    norm_out_ = p.norm(d + "conv_norm_out", width);
    conv_out_ = p.conv2d(d + "conv_out", 3, width, 3);
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
        for (const vae::Resnet& r : level.resnets) {
            x = resnet(g, r, x, norms);
        }
        if (level.has_resample) {
            x = conv2d(g, level.resample, resize_nearest(g, x, 2 * x->ne[0], 2 * x->ne[1]));
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
