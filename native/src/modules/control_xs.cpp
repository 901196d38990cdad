#include "modules/control_xs.h"

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "modules/controlnet.h"

namespace dg {

namespace {

const std::string kPrefix = "controlnet.";
const std::string kEmbed  = kPrefix + "controlnet_cond_embedding.";
const std::string kFirst  = kPrefix + "control_to_base_for_conv_in";

constexpr int64_t kMiddleGroups = 32;  // diffusers does not pass max_norm_num_groups on to the middle
constexpr float kMixExponent    = 0.3f;

// The largest divisor of a number that is not above a limit.
int64_t largest_factor(int64_t number, int64_t most) {
    if (most >= number) {
        return number;
    }
    while (number % most != 0) {
        most--;
    }
    return most;
}

std::string block_name(size_t level) {
    return dot(kPrefix + "down_blocks", level);
}

}  // namespace

int64_t XsDims::hint_downscale() const {
    return int64_t{1} << ((hint.size() - 1) / 2);
}

UnetDims XsDims::unet() const {
    UnetDims d;
    d.prefix       = kPrefix;
    d.in_channels  = in;
    d.context      = context;
    d.time_embed   = time_embed;
    d.channels     = base;
    d.down_resnets = resnets;
    d.down_depth   = depth;
    d.mid_depth    = mid_depth;
    return d;
}

bool is_control_xs(const Source& source) {
    return source.has_prefix(kFirst + ".");
}

XsDims infer_xs_dims(const Source& source, XsConfig config) {
    XsDims d;
    d.in            = source.dim(kPrefix + "conv_in.weight", 2);
    d.learns_time   = source.has_prefix(kPrefix + "time_embedding.");
    d.hint_channels = source.dim(kEmbed + "conv_in.weight", 2);
    d.hint.push_back(source.dim(kEmbed + "conv_in.weight", 3));
    for (int64_t i = 0; i < source.count(kEmbed + "blocks", ".weight"); i++) {
        d.hint.push_back(source.dim(dot(kEmbed + "blocks", i) + ".weight", 3));
    }
    const auto blocks = [&](const std::string& attention) {
        const std::string list = attention + ".transformer_blocks";
        d.context              = std::max(d.context, source.dim(list + ".0.attn2.to_k.weight", 0));
        return source.count(list, ".norm1.weight");
    };
    const int64_t levels = source.count(kPrefix + "down_blocks", ".resnets.0.conv1.weight");
    for (int64_t l = 0; l < levels; l++) {
        const std::string block = dot(kPrefix + "down_blocks", l);
        d.channels.push_back(source.dim(block + ".resnets.0.conv1.weight", 3));
        d.base.push_back(source.dim(block + ".ctrl_to_base.0.weight", 3));
        d.resnets.push_back(source.count(block + ".resnets", ".conv1.weight"));
        d.depth.emplace_back();
        for (int64_t i = 0; i < d.resnets.back(); i++) {
            d.depth.back().push_back(blocks(dot(block + ".attentions", i)));
        }
    }
    d.mid_depth          = blocks(kPrefix + "mid_block.midblock.attentions.0");
    d.time_embed         = source.dim(kPrefix + "down_blocks.0.resnets.0.time_emb_proj.weight", 0);
    d.config             = std::move(config);
    const char* path     = source.path_of(kFirst + ".weight").c_str();
    const size_t wanted  = d.channels.size();
    bool sound           = levels >= 1 && levels <= DG_MAX_LEVELS && d.config.heads.size() == wanted;
    const bool mix_sound = d.config.mix >= 0 && d.config.mix <= 1 && (d.learns_time || d.config.mix == 1);
    for (const int64_t heads : d.config.heads) {
        sound = sound && heads > 0;
    }
    if (!sound || d.config.groups < 1 || !mix_sound) {
        fail(DG_ERR_MODEL,
             "%s: a ControlNet-XS of %zu levels with heads for %zu, %lld groups and a time embedding mixed by %g is "
             "not known",
             path, wanted, d.config.heads.size(), static_cast<long long>(d.config.groups),
             static_cast<double>(d.config.mix));
    }
    return d;
}

ControlXs::Transformer ControlXs::make_transformer(Params& p, const std::string& name, int64_t c, int64_t depth,
                                                   int64_t heads) const {
    Transformer t;
    if (depth == 0) {
        return t;
    }
    const int64_t w = c / heads * heads;  // as in diffusers: less than the channels if the heads do not divide them
    t.heads         = heads;
    t.norm          = p.norm(name + ".norm", c);
    t.in            = p.linear(name + ".proj_in", c, w);
    for (int64_t i = 0; i < depth; i++) {
        const std::string b = dot(name + ".transformer_blocks", i);
        Block x;
        x.norm1  = p.norm(b + ".norm1", w);
        x.q1     = p.linear(b + ".attn1.to_q", w, w, false);
        x.k1     = p.linear(b + ".attn1.to_k", w, w, false);
        x.v1     = p.linear(b + ".attn1.to_v", w, w, false);
        x.out1   = p.linear(b + ".attn1.to_out.0", w, w);
        x.norm2  = p.norm(b + ".norm2", w);
        x.q2     = p.linear(b + ".attn2.to_q", w, w, false);
        x.k2     = p.linear(b + ".attn2.to_k", dims.context, w, false);
        x.v2     = p.linear(b + ".attn2.to_v", dims.context, w, false);
        x.out2   = p.linear(b + ".attn2.to_out.0", w, w);
        x.norm3  = p.norm(b + ".norm3", w);
        x.ff_in  = p.linear(b + ".ff.net.0.proj", w, 8 * w);
        x.ff_out = p.linear(b + ".ff.net.2", 4 * w, w);
        t.blocks.push_back(x);
    }
    t.out = p.linear(name + ".proj_out", w, c);
    return t;
}

ControlXs::ControlXs(Params& p, const XsDims& dims) : dims(dims) {
    const XsDims& d = dims;
    int64_t width   = d.hint_channels;
    for (size_t i = 0; i < d.hint.size(); i++) {
        hint_.push_back(p.conv2d(i == 0 ? kEmbed + "conv_in" : dot(kEmbed + "blocks", i - 1), 3, width, d.hint[i]));
        width = d.hint[i];
    }
    hint_.push_back(p.conv2d(kEmbed + "conv_out", 3, width, d.channels[0]));
    if (d.learns_time) {
        time1_ = p.linear(kPrefix + "time_embedding.linear_1", d.base[0], d.time_embed, true, true);
        time2_ = p.linear(kPrefix + "time_embedding.linear_2", d.time_embed, d.time_embed, true, true);
    }
    in_   = p.conv2d(kPrefix + "conv_in", 3, d.in, d.channels[0]);
    give_ = p.conv2d(kFirst, 1, d.channels[0], d.base[0]);

    int64_t own = d.channels[0], base = d.base[0];
    std::vector<int64_t> skips{own};  // widths of its own
    for (size_t l = 0; l < d.channels.size(); l++) {
        const std::string name = block_name(l);
        const int64_t groups   = largest_factor(own + base, d.config.groups);  // as diffusers' from_modules reads them
        size_t i               = 0;
        for (; i < d.depth[l].size(); i++) {
            const std::string at = dot(name + ".resnets", i);
            const int64_t in     = own + base;
            Step s;
            s.take = p.conv2d(dot(name + ".base_to_ctrl", i), 1, base, base);
            s.resnets.push_back(make_resnet(p, at, in, d.channels[l], d.time_embed));
            own = d.channels[l], base = d.base[l];
            s.groups.emplace_back(static_cast<int>(largest_factor(in, groups)),
                                  static_cast<int>(largest_factor(own, groups)));
            s.transformer = make_transformer(p, dot(name + ".attentions", i), own, d.depth[l][i], d.config.heads[l]);
            s.give        = p.conv2d(dot(name + ".ctrl_to_base", i), 1, own, base);
            steps_.push_back(s);
            skips.push_back(own);
        }
        if (l + 1 < d.channels.size()) {
            Step s;
            s.take  = p.conv2d(dot(name + ".base_to_ctrl", i), 1, base, base);
            s.halve = p.conv2d(name + ".downsamplers.conv", 3, own + base, own);
            s.give  = p.conv2d(dot(name + ".ctrl_to_base", i), 1, own, base);
            steps_.push_back(s);
            skips.push_back(own);
        }
    }
    const std::string mid = kPrefix + "mid_block.";
    const auto groups     = static_cast<int>(largest_factor(std::gcd(own, own + base), kMiddleGroups));
    Step s;
    s.take = p.conv2d(mid + "base_to_ctrl", 1, base, base);
    s.resnets.push_back(make_resnet(p, mid + "midblock.resnets.0", own + base, own, d.time_embed));
    s.resnets.push_back(make_resnet(p, mid + "midblock.resnets.1", own, own, d.time_embed));
    s.groups      = {{groups, groups}, {groups, groups}};
    s.eps         = 1e-6f;
    s.transformer = make_transformer(p, mid + "midblock.attentions.0", own, d.mid_depth, d.config.heads.back());
    s.give        = p.conv2d(mid + "ctrl_to_base", 1, own, base);
    steps_.push_back(s);

    rise_.resize(skips.size());
    size_t skip = skips.size();
    for (size_t u = 0; u < d.channels.size();
         u++) {  // a block on the way up begins as wide as the one below it has left off
        const size_t level = d.channels.size() - 1 - u;
        for (int64_t i = 0; i <= d.resnets[level]; i++) {
            const int64_t to = i > 0 || u == 0 ? d.base[level] : d.base[level + 1];
            skip--;
            rise_[skip] = p.conv2d(dot(dot(kPrefix + "up_connections", u) + ".ctrl_to_base", i), 1, skips[skip], to);
        }
    }
}

std::string ControlXs::unfit(const UnetDims& u) const {
    if (u.channels != dims.base || u.down_resnets != dims.resnets || u.time_embed != dims.time_embed ||
        (dims.context > 0 && u.context != dims.context)) {
        return "the ControlNet-XS is for another UNet";
    }
    if (dims.learns_time && u.guidance > 0) {
        return "the ControlNet-XS has a time embedding of its own, and the UNet's embeds a guidance scale, too";
    }
    return "";
}

ggml_tensor* ControlXs::embed_hint(GraphBuilder& g, ggml_tensor* x) const {
    if (dims.config.bgr) {
        const auto channel = [&](int64_t c) {
            return ggml_view_4d(g.ctx, x, x->ne[0], x->ne[1], 1, x->ne[3], x->nb[1], x->nb[2], x->nb[3],
                                static_cast<size_t>(c) * x->nb[2]);
        };
        ggml_tensor* turned = ggml_cont(g.ctx, channel(x->ne[2] - 1));
        for (int64_t c = x->ne[2] - 2; c >= 0; c--) {
            turned = ggml_concat(g.ctx, turned, ggml_cont(g.ctx, channel(c)), 2);
        }
        x = turned;
    }
    return dg::embed_hint(g, hint_, x);
}

ggml_tensor* XsRun::time(GraphBuilder& g, ggml_tensor* sinusoids, ggml_tensor* own) {
    if (!net_.dims.learns_time) {
        return own;
    }
    ggml_tensor* t  = linear(g, net_.time2_, ggml_silu(g.ctx, linear(g, net_.time1_, sinusoids)));
    const float mix = std::pow(net_.dims.config.mix, kMixExponent);
    if (mix == 1.0f) {
        return t;
    }
    return ggml_add(g.ctx, ggml_scale(g.ctx, t, mix), ggml_scale(g.ctx, own, 1.0f - mix));
}

// Adds to the UNet's features.
ggml_tensor* XsRun::give(GraphBuilder& g, const Conv2d& conv, ggml_tensor* from, ggml_tensor* to) const {
    return ggml_add(g.ctx, to, ggml_mul(g.ctx, conv2d(g, conv, from, {1, 0}), in_.scale));
}

ggml_tensor* XsRun::enter(GraphBuilder& g, ggml_tensor* sample, ggml_tensor* x) {
    const int64_t in = net_.dims.in;
    if (sample->ne[2] > in) {  // an inpainting model's mask and picture are not for the net
        sample = ggml_cont(g.ctx, ggml_view_4d(g.ctx, sample, sample->ne[0], sample->ne[1], in, sample->ne[3],
                                               sample->nb[1], sample->nb[2], sample->nb[3], 0));
    }
    x_ = ggml_add(g.ctx, conv2d(g, net_.in_, sample), in_.hint);
    skips_.push_back(x_);
    return give(g, net_.give_, x_, x);
}

ggml_tensor* XsRun::step(GraphBuilder& g, ggml_tensor* in, ggml_tensor* out, ggml_tensor* embedding) {
    const ControlXs::Step& s = net_.steps_.at(next_++);
    x_                       = ggml_concat(g.ctx, x_, conv2d(g, s.take, in, {1, 0}), 2);
    if (s.halve.weight != nullptr) {
        x_ = conv2d(g, s.halve, x_, {2, 1});
    }
    for (size_t i = 0; i < s.resnets.size(); i++) {
        const Resnet& r = s.resnets[i];
        x_              = resnet(g, r, x_, embedding, [&](const Norm& norm, ggml_tensor* h) {
            const bool first = norm.weight == r.norm1.weight;
            return group_norm(g, norm, h, first ? s.groups[i].first : s.groups[i].second, s.eps);
        });
        if (i == 0 && !s.transformer.blocks.empty()) {
            x_ = transformer(g, s.transformer, x_, s.groups[i].second);
        }
    }
    skips_.push_back(x_);
    return give(g, s.give, x_, out);
}

ggml_tensor* XsRun::rise(GraphBuilder& g, size_t skip, ggml_tensor* x) {
    return give(g, net_.rise_.at(skip), skips_.at(skip), x);
}

ggml_tensor* XsRun::transformer(GraphBuilder& g, const ControlXs::Transformer& t, ggml_tensor* x, int groups) const {
    ggml_tensor* y = linear(g, t.in, to_tokens(g, group_norm(g, t.norm, x, groups, 1e-6f)));
    AttentionSite site{"", 0, x->ne[0], x->ne[1], t.heads};
    for (const ControlXs::Block& b : t.blocks) {
        y = block(g, b, y, site);
    }
    return ggml_add(g.ctx, x, to_picture(g, linear(g, t.out, y), x->ne[0], x->ne[1]));
}

ggml_tensor* XsRun::block(GraphBuilder& g, const ControlXs::Block& b, ggml_tensor* x, const AttentionSite& site) const {
    const Unet::Context& context = *in_.context;
    ggml_tensor* n               = layer_norm(g, b.norm1, x);
    ggml_tensor *q1 = linear(g, b.q1, n), *k1 = linear(g, b.k1, n), *v1 = linear(g, b.v1, n);
    x              = linear(g, b.out1, attention(g, q1, k1, v1, site.heads), x);
    n              = layer_norm(g, b.norm2, x);
    ggml_tensor* q = linear(g, b.q2, n);
    ggml_tensor *k = linear(g, b.k2, context.texts), *v = linear(g, b.v2, context.texts);
    ggml_tensor* a = context.regions == nullptr ? attention(g, q, k, v, site.heads, nullptr, context.of_row)
                                                : context.regions->attend(g, site, q, k, v, context.of_row);
    x              = linear(g, b.out2, a, x);
    n              = layer_norm(g, b.norm3, x);
    return linear(g, b.ff_out, geglu(g, b.ff_in, n), x);
}

}  // namespace dg
