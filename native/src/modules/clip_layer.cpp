#include "modules/clip_layer.h"

namespace dg {

ClipLayer make_clip_layer(Params& params, const std::string& name, int64_t width, int64_t inner) {
    ClipLayer l;
    l.norm1 = params.norm(name + "layer_norm1", width);
    l.norm2 = params.norm(name + "layer_norm2", width);
    l.q     = params.linear(name + "self_attn.q_proj", width, width);
    l.k     = params.linear(name + "self_attn.k_proj", width, width);
    l.v     = params.linear(name + "self_attn.v_proj", width, width);
    l.out   = params.linear(name + "self_attn.out_proj", width, width);
    l.fc1   = params.linear(name + "mlp.fc1", width, inner);
    l.fc2   = params.linear(name + "mlp.fc2", inner, width);
    return l;
}

ggml_tensor* clip_layer(GraphBuilder& g, const ClipLayer& l, ggml_tensor* x, int64_t heads, ggml_tensor* mask,
                        bool quick) {
    ggml_tensor* n = layer_norm(g, l.norm1, x);
    ggml_tensor* a = attention(g, linear(g, l.q, n), linear(g, l.k, n), linear(g, l.v, n), heads, mask);
    x              = linear(g, l.out, a, x);
    ggml_tensor* h = linear(g, l.fc1, layer_norm(g, l.norm2, x));
    h              = quick ? quick_gelu(g, h) : gelu(g, h);
    return linear(g, l.fc2, h, x);
}

}  // namespace dg
