#include "modules/ip_adapter.h"

#include <algorithm>

#include "base/error.h"

namespace dg {

namespace {

const std::string kProjection = "ip_adapter.image_proj.";
constexpr int64_t kHeadDim    = 64;  // of the resampler, in all published ones

std::string layer_name(int64_t i) {
    return "ip_adapter.layers." + std::to_string(i);
}

}  // namespace

int64_t IpAdapterDims::layer_values() const {
    int64_t n = 0;
    for (const int64_t c : channels) {
        n += 2 * c;
    }
    return n;
}

IpAdapterDims infer_ip_adapter_dims(const Source& source) {
    IpAdapterDims d;
    for (int64_t i = 0; i < source.count("ip_adapter.layers", ".to_k_ip.weight"); i++) {
        d.channels.push_back(source.dim(layer_name(i) + ".to_k_ip.weight", 1));
        d.context = source.dim(layer_name(i) + ".to_k_ip.weight", 0);
    }
    const std::string& p = kProjection;
    d.depth              = source.count(p + "layers", ".attn.to_q.weight");
    if (d.depth > 0) {
        d.embed    = source.dim(p + "proj_in.weight", 0);
        d.hidden   = source.dim(p + "proj_in.weight", 1);
        d.attended = source.dim(p + "layers.0.attn.to_q.weight", 1);
        d.inner    = source.dim(p + "layers.0.ff.1.net.0.proj.weight", 1);
        d.tokens   = source.dim(p + "latents", 1);
    }
    const std::string face = d.depth > 0 ? "proj." : "ff.";
    d.face                 = source.dim(p + face + "net.0.proj.weight", 0);
    d.face_inner           = source.dim(p + face + "net.0.proj.weight", 1);
    const int64_t width    = d.depth > 0 ? d.hidden : d.context;
    int64_t outputs        = source.dim(p + face + "net.2.weight", 1);
    if (d.face == 0 && d.depth == 0) {
        d.embed = source.dim(p + "image_embeds.weight", 0);
        outputs = source.dim(p + "image_embeds.weight", 1);
    }
    if (d.tokens == 0 && width > 0) {
        d.tokens = outputs / width;
    }
    if (d.channels.empty() || d.context == 0 || d.tokens == 0 || (d.embed == 0 && d.face == 0) ||
        d.attended % kHeadDim != 0) {
        fail(DG_ERR_MODEL, "%s: an IP-Adapter of %zu layers, %lld tokens and a width of %lld is none of those known",
             source.path_of(p).c_str(), d.channels.size(), static_cast<long long>(d.tokens),
             static_cast<long long>(d.context));
    }
    return d;
}

IpAdapter::IpAdapter(Params& p, const IpAdapterDims& dims) : dims(dims) {
    const std::string& name = kProjection;
    const int64_t width     = dims.depth > 0 ? dims.hidden : dims.context;
    if (dims.face > 0) {
        const std::string face = name + (dims.depth > 0 ? "proj." : "ff.");
        face1_                 = p.linear(face + "net.0.proj", dims.face, dims.face_inner, true, true);
        face2_                 = p.linear(face + "net.2", dims.face_inner, width * dims.tokens, true, true);
    } else if (dims.depth == 0) {
        embed_ = p.linear(name + "image_embeds", dims.embed, width * dims.tokens, true, true);
    }
    if (dims.face > 0 || dims.depth == 0) {
        norm_ = p.norm(name + "norm", width);
    }
    if (dims.depth > 0) {
        if (dims.face == 0) {
            latents_ = p.table(name + "latents", width, dims.tokens);
        }
        in_       = p.linear(name + "proj_in", dims.embed, width, true, true);
        out_      = p.linear(name + "proj_out", width, dims.context, true, true);
        norm_out_ = p.norm(name + "norm_out", dims.context);
    }
    for (int64_t i = 0; i < dims.depth; i++) {
        const std::string l = dot(name + "layers", i);
        Layer layer;
        layer.norm_x       = p.norm(l + ".ln0", width);
        layer.norm_latents = p.norm(l + ".ln1", width);
        layer.q            = p.linear(l + ".attn.to_q", width, dims.attended, false);
        layer.k            = p.linear(l + ".attn.to_k", width, dims.attended, false);
        layer.v            = p.linear(l + ".attn.to_v", width, dims.attended, false);
        layer.out          = p.linear(l + ".attn.to_out.0", dims.attended, width, false);
        layer.norm_ff      = p.norm(l + ".ff.0", width);
        layer.ff1          = p.linear(l + ".ff.1.net.0.proj", width, dims.inner, false);
        layer.ff2          = p.linear(l + ".ff.1.net.2", dims.inner, width, false);
        layers_.push_back(layer);
    }
    for (size_t i = 0; i < dims.channels.size(); i++) {
        const std::string l = layer_name(static_cast<int64_t>(i));
        keys_.push_back(p.linear(l + ".to_k_ip", dims.context, dims.channels[i], false));
        values_.push_back(p.linear(l + ".to_v_ip", dims.context, dims.channels[i], false));
    }
}

// diffusers' IPAdapterPlusImageProjection: learnt latents look at the picture again and again.
ggml_tensor* IpAdapter::resample(GraphBuilder& g, ggml_tensor* embeds, ggml_tensor* latents) const {
    ggml_tensor* x = linear(g, in_, embeds);
    for (const Layer& l : layers_) {
        ggml_tensor* own  = layer_norm(g, l.norm_latents, latents);
        ggml_tensor* seen = ggml_concat(g.ctx, layer_norm(g, l.norm_x, x), own, 1);
        ggml_tensor* a =
            attention(g, linear(g, l.q, own), linear(g, l.k, seen), linear(g, l.v, seen), dims.attended / kHeadDim);
        latents        = linear(g, l.out, a, latents);
        ggml_tensor* h = gelu(g, linear(g, l.ff1, layer_norm(g, l.norm_ff, latents)));
        latents        = linear(g, l.ff2, h, latents);
    }
    return layer_norm(g, norm_out_, linear(g, out_, latents));
}

ggml_tensor* IpAdapter::tokens(GraphBuilder& g, const Inputs& in) const {
    const int64_t n     = in.faces != nullptr ? in.faces->ne[1] : in.embeds->ne[2];
    const int64_t width = dims.depth > 0 ? dims.hidden : dims.context;
    if (dims.depth > 0 && dims.face == 0) {
        ggml_tensor* latents = latents_;
        if (latents->type != GGML_TYPE_F32) {
            latents = ggml_cast(g.ctx, latents, GGML_TYPE_F32);
        }
        return resample(g, in.embeds, ggml_repeat_4d(g.ctx, latents, width, dims.tokens, n, 1));
    }
    ggml_tensor* y = dims.face > 0 ? linear(g, face2_, gelu(g, linear(g, face1_, in.faces)))
                                   : linear(g, embed_, ggml_reshape_2d(g.ctx, in.embeds, dims.embed, n));
    y              = layer_norm(g, norm_, ggml_reshape_3d(g.ctx, y, width, dims.tokens, n));
    if (dims.depth == 0) {
        return y;
    }
    ggml_tensor* seen = resample(g, in.embeds, y);
    return in.shortcut == 0 ? seen : ggml_add(g.ctx, y, ggml_scale(g.ctx, seen, in.shortcut));
}

std::vector<ggml_tensor*> IpAdapter::build(GraphBuilder& g, const Inputs& in) const {
    ggml_tensor* t = tokens(g, in);  // [context, tokens, pictures * N]
    t = ggml_reshape_3d(g.ctx, ggml_is_contiguous(t) ? t : ggml_cont(g.ctx, t), dims.context, dims.tokens * in.pictures,
                        t->ne[2] / in.pictures);
    std::vector<ggml_tensor*> out;
    for (size_t i = 0; i < keys_.size(); i++) {
        out.push_back(linear(g, keys_[i], t));
        out.push_back(linear(g, values_[i], t));
    }
    return out;
}

}  // namespace dg
