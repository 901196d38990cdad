#include "modules/unet.h"

#include <algorithm>

#include "base/error.h"

namespace dg {

UnetDims infer_unet_dims(const Source& source, const std::string& u) {
    UnetDims d;
    d.prefix          = u;
    d.in_channels     = source.dim(u + "conv_in.weight", 2);
    d.time_embed      = source.dim(u + "time_embedding.linear_1.weight", 1);
    d.label           = source.dim(u + "add_embedding.linear_1.weight", 0);
    d.guidance        = source.dim(u + "time_embedding.cond_proj.weight", 0);
    const auto blocks = [&](const std::string& attention) {
        const std::string list = attention + ".transformer_blocks";
        d.context              = std::max(d.context, source.dim(list + ".0.attn2.to_k.weight", 0));
        return source.count(list, ".norm1.weight");
    };
    const int64_t levels = source.count(u + "down_blocks", ".resnets.0.conv1.weight");
    for (int64_t level = 0; level < levels; level++) {
        const std::string block = dot(u + "down_blocks", level);
        d.channels.push_back(source.dim(block + ".resnets.0.conv1.weight", 3));
        d.down_resnets.push_back(source.count(block + ".resnets", ".conv1.weight"));
        d.down_depth.emplace_back();
        for (int64_t i = 0; i < d.down_resnets.back(); i++) {
            d.down_depth.back().push_back(blocks(dot(block + ".attentions", i)));
        }
    }
    if (levels < 1 || levels > DG_MAX_LEVELS) {
        fail(DG_ERR_MODEL, "%s: a UNet with %lld levels; 1 to %d are supported",
             source.path_of(u + "conv_in.weight").c_str(), static_cast<long long>(levels), DG_MAX_LEVELS);
    }
    d.mid_depth   = blocks(u + "mid_block.attentions.0");
    d.mid_resnets = source.count(u + "mid_block.resnets", ".conv1.weight");
    for (int64_t level = 0; level < source.count(u + "up_blocks", ".resnets.0.conv1.weight"); level++) {
        const std::string block = dot(u + "up_blocks", level);
        d.up_depth.emplace_back();
        d.up_in_channels.emplace_back();
        for (int64_t i = 0; i < source.count(block + ".resnets", ".conv1.weight"); i++) {
            d.up_depth.back().push_back(blocks(dot(block + ".attentions", i)));
            d.up_in_channels.back().push_back(source.dim(dot(block + ".resnets", i) + ".conv1.weight", 2));
        }
    }
    d.out_channels = source.dim(u + "conv_out.weight", 3);
    return d;
}

void check_unet_dims(const Source& source, const UnetDims& d) {
    const std::string& path = source.path_of(d.prefix + "conv_in.weight");
    if (d.context == 0 || d.up_depth.size() != d.channels.size() || d.mid_resnets < 1) {
        fail(DG_ERR_MODEL,
             "%s: the UNet is incomplete: %zu levels down, %zu up, %lld middle resnets, texts of %lld values",
             path.c_str(), d.channels.size(), d.up_depth.size(), static_cast<long long>(d.mid_resnets),
             static_cast<long long>(d.context));
    }
    std::vector<int64_t> skips{d.model_channels()};  // widths of the skips; the up blocks take the last one first
    for (size_t l = 0; l < d.channels.size(); l++) {
        skips.insert(skips.end(), static_cast<size_t>(d.down_resnets[l]) + (l + 1 < d.channels.size() ? 1 : 0),
                     d.channels[l]);
    }
    int64_t width = d.channels.back();
    for (size_t l = 0; l < d.up_in_channels.size(); l++) {
        const size_t level = d.channels.size() - 1 - l;
        if (d.up_in_channels[l].size() != static_cast<size_t>(d.down_resnets[level]) + 1) {
            fail(DG_ERR_MODEL, "%s: the UNet is incomplete: %zu resnets in %sup_blocks.%zu where %lld are needed",
                 path.c_str(), d.up_in_channels[l].size(), d.prefix.c_str(), l,
                 static_cast<long long>(d.down_resnets[level] + 1));
        }
        for (const int64_t in : d.up_in_channels[l]) {
            if (in != width + skips.back()) {
                fail(DG_ERR_MODEL, "%s: a resnet of %sup_blocks.%zu takes %lld channels and gets %lld", path.c_str(),
                     d.prefix.c_str(), l, static_cast<long long>(in), static_cast<long long>(width + skips.back()));
            }
            skips.pop_back();
            width = d.channels[level];
        }
    }
}

Unet::Transformer Unet::make_transformer(Params& p, const std::string& name, int64_t c, int64_t depth) const {
    Transformer t;
    if (depth == 0) {
        return t;
    }
    if (c % dims.head_dim != 0) {
        fail(DG_ERR_MODEL, "%s: %lld channels cannot be divided into heads of %lld", name.c_str(),
             static_cast<long long>(c), static_cast<long long>(dims.head_dim));
    }
    t.norm = p.norm(name + ".norm", c);
    t.in   = p.linear(name + ".proj_in", c, c);
    for (int64_t i = 0; i < depth; i++) {
        const std::string b = dot(name + ".transformer_blocks", i);
        Block x;
        x.norm1  = p.norm(b + ".norm1", c);
        x.q1     = p.linear(b + ".attn1.to_q", c, c, false);
        x.k1     = p.linear(b + ".attn1.to_k", c, c, false);
        x.v1     = p.linear(b + ".attn1.to_v", c, c, false);
        x.out1   = p.linear(b + ".attn1.to_out.0", c, c);
        x.norm2  = p.norm(b + ".norm2", c);
        x.q2     = p.linear(b + ".attn2.to_q", c, c, false);
        x.k2     = p.linear(b + ".attn2.to_k", dims.context, c, false);
        x.v2     = p.linear(b + ".attn2.to_v", dims.context, c, false);
        x.out2   = p.linear(b + ".attn2.to_out.0", c, c);
        x.norm3  = p.norm(b + ".norm3", c);
        x.ff_in  = p.linear(b + ".ff.net.0.proj", c, 8 * c);
        x.ff_out = p.linear(b + ".ff.net.2", 4 * c, c);
        x.name   = b.substr(dims.prefix.size());
        t.blocks.push_back(x);
    }
    t.out = p.linear(name + ".proj_out", c, c);
    return t;
}

Unet::Unet(Params& p, const UnetDims& dims) : dims(dims) {
    const std::string& u = dims.prefix;
    time1_               = p.linear(u + "time_embedding.linear_1", dims.model_channels(), dims.time_embed, true, true);
    time2_               = p.linear(u + "time_embedding.linear_2", dims.time_embed, dims.time_embed, true, true);
    label1_              = p.linear(u + "add_embedding.linear_1", dims.label, dims.time_embed, true, true);
    label2_              = p.linear(u + "add_embedding.linear_2", dims.time_embed, dims.time_embed, true, true);
    if (dims.guidance > 0) {
        guidance_ = p.linear(u + "time_embedding.cond_proj", dims.guidance, dims.model_channels(), false, true);
    }
    conv_in_ = p.conv2d(u + "conv_in", 3, dims.in_channels, dims.channels[0]);

    const size_t levels = dims.channels.size();
    int64_t width       = dims.channels[0];
    for (size_t l = 0; l < levels; l++) {
        const std::string name = dot(u + "down_blocks", l);
        Level level;
        for (size_t i = 0; i < dims.down_depth[l].size(); i++) {
            level.resnets.push_back(
                make_resnet(p, dot(name + ".resnets", i), width, dims.channels[l], dims.time_embed));
            level.transformers.push_back(
                make_transformer(p, dot(name + ".attentions", i), dims.channels[l], dims.down_depth[l][i]));
            width = dims.channels[l];
        }
        if (l + 1 < levels) {
            level.resample = p.conv2d(name + ".downsamplers.0.conv", 3, width, width);
        }
        down_.push_back(level);
    }
    for (int64_t i = 0; i < dims.mid_resnets; i++) {
        mid_.resnets.push_back(make_resnet(p, dot(u + "mid_block.resnets", i), width, width, dims.time_embed));
    }
    mid_.transformers.push_back(make_transformer(p, u + "mid_block.attentions.0", width, dims.mid_depth));
    if (dims.up_depth.empty()) {
        number_blocks();
        return;
    }
    for (size_t l = 0; l < levels; l++) {
        const std::string name = dot(u + "up_blocks", l);
        const int64_t out      = dims.channels[levels - 1 - l];
        Level level;
        for (size_t i = 0; i < dims.up_depth[l].size(); i++) {
            level.resnets.push_back(
                make_resnet(p, dot(name + ".resnets", i), dims.up_in_channels[l][i], out, dims.time_embed));
            level.transformers.push_back(make_transformer(p, dot(name + ".attentions", i), out, dims.up_depth[l][i]));
        }
        if (l + 1 < levels) {
            level.resample = p.conv2d(name + ".upsamplers.0.conv", 3, out, out);
        }
        up_.push_back(level);
    }
    number_blocks();
    norm_out_ = p.norm(u + "conv_norm_out", dims.channels[0]);
    conv_out_ = p.conv2d(u + "conv_out", 3, dims.channels[0], dims.out_channels);
}

std::vector<std::pair<int64_t, int64_t>> level_sizes(const UnetDims& d, int64_t height, int64_t width) {
    std::vector<std::pair<int64_t, int64_t>> out;
    for (size_t l = 0; l < d.channels.size(); l++) {
        out.emplace_back(width, height);
        width  = (width + 1) / 2;
        height = (height + 1) / 2;
    }
    return out;
}

// Whether a level on the way down has attention (diffusers' CrossAttnDownBlock2D).
static bool attends(const UnetDims& d, size_t level) {
    return std::any_of(d.down_depth[level].begin(), d.down_depth[level].end(), [](int64_t depth) { return depth > 0; });
}

std::vector<BlockShape> block_shapes(const UnetDims& d, int64_t height, int64_t width) {
    std::vector<BlockShape> out;
    const auto sizes = level_sizes(d, height, width);
    for (size_t l = 0; l < d.channels.size(); l++) {
        const auto& [w, h] = sizes[attends(d, l) || l + 1 == sizes.size() ? l : l + 1];
        out.push_back({d.channels[l], h, w});
    }
    out.push_back({d.channels.back(), sizes.back().second, sizes.back().first});
    return out;
}

// Every transformer block, in the order of diffusers' attn_processors.
template <typename Levels, typename Level, typename Visit>
static void each_block(Levels& down, Levels& up, Level& mid, const Visit& visit) {
    const auto list = [&](auto& level) {
        for (auto& t : level.transformers) {
            std::for_each(t.blocks.begin(), t.blocks.end(), visit);
        }
    };
    std::for_each(down.begin(), down.end(), list);
    std::for_each(up.begin(), up.end(), list);
    list(mid);
}

std::vector<int64_t> Unet::attention_channels() const {
    std::vector<int64_t> out;
    each_block(down_, up_, mid_, [&](const Block& b) { out.push_back(b.q2.weight->ne[1]); });
    return out;
}

void Unet::number_blocks() {
    int64_t index = 0;
    each_block(down_, up_, mid_, [&](Block& b) { b.index = index++; });
}

std::set<std::string> Unet::block_names() const {
    std::set<std::string> out;
    each_block(down_, up_, mid_, [&](const Block& b) { out.insert(b.name); });
    return out;
}

ggml_tensor* Unet::block(GraphBuilder& g, const Block& b, ggml_tensor* x, const Context& context,
                         AttentionSite& site) const {
    site.name       = b.name;
    site.index      = b.index;
    ggml_tensor* n  = layer_norm(g, b.norm1, x);
    ggml_tensor *q1 = linear(g, b.q1, n), *k1 = linear(g, b.k1, n), *v1 = linear(g, b.v1, n);
    ggml_tensor* a = context.change == nullptr ? attention(g, q1, k1, v1, site.heads)
                                               : context.change->self_attention(g, site, q1, k1, v1);
    x              = linear(g, b.out1, a, x);
    x              = read_texts(g, b, x, context, site);
    n              = layer_norm(g, b.norm3, x);
    return linear(g, b.ff_out, geglu(g, b.ff_in, n), x);
}

// Cross-attention, added to x.
ggml_tensor* Unet::read_texts(GraphBuilder& g, const Block& b, ggml_tensor* x, const Context& context,
                              const AttentionSite& site) const {
    Keep* keep = context.keep != nullptr && context.keep->kind == DG_KEEP_TEXT_ATTENTION ? context.keep : nullptr;
    if (keep != nullptr && keep->reuse) {
        return ggml_add(g.ctx, x, keep->kept.at(keep->next++));
    }
    ggml_tensor* n = layer_norm(g, b.norm2, x);
    ggml_tensor* q = linear(g, b.q2, n);
    ggml_tensor *k = linear(g, b.k2, context.texts), *v = linear(g, b.v2, context.texts);
    ggml_tensor* a = context.regions == nullptr ? attention(g, q, k, v, site.heads, nullptr, context.of_row)
                                                : context.regions->attend(g, site, q, k, v, context.of_row);
    for (const CrossAttention* more : context.beside) {
        a = more->add(g, site, q, a);
    }
    if (keep == nullptr) {
        return linear(g, b.out2, a, x);
    }
    a = linear(g, b.out2, a);
    keep->made.push_back(a);
    return ggml_add(g.ctx, x, a);
}

ggml_tensor* Unet::transformer(GraphBuilder& g, const Transformer& t, ggml_tensor* x, const Context& context) const {
    ggml_tensor* y = linear(g, t.in, to_tokens(g, group_norm(g, t.norm, x, dims.groups, 1e-6f)));
    AttentionSite site{"", 0, x->ne[0], x->ne[1], x->ne[2] / dims.head_dim};
    for (const Block& b : t.blocks) {
        y = block(g, b, y, context, site);
    }
    return ggml_add(g.ctx, x, to_picture(g, linear(g, t.out, y), x->ne[0], x->ne[1]));
}

ggml_tensor* Unet::stage(GraphBuilder& g, const Level& level, size_t i, ggml_tensor* x, ggml_tensor* embedding,
                         const Context& context) const {
    x = resnet(g, level.resnets[i], x, embedding,
               [&](const Norm& norm, ggml_tensor* h) { return group_norm(g, norm, h, dims.groups, 1e-5f); });
    if (i < level.transformers.size() && !level.transformers[i].blocks.empty()) {
        x = transformer(g, level.transformers[i], x, context);
    }
    return x;
}

ggml_tensor* Unet::embed(GraphBuilder& g, ggml_tensor* time, ggml_tensor* label, ggml_tensor* more,
                         Companion* companion) const {
    ggml_tensor* embedding = linear(g, time2_, ggml_silu(g.ctx, linear(g, time1_, time)));
    embedding              = companion == nullptr ? embedding : companion->time(g, time, embedding);
    embedding = ggml_add(g.ctx, embedding, linear(g, label2_, ggml_silu(g.ctx, linear(g, label1_, label))));
    if (more != nullptr) {
        embedding = ggml_add(g.ctx, embedding, more);
    }
    return ggml_silu(g.ctx, embedding);
}

ggml_tensor* Unet::enter(GraphBuilder& g, ggml_tensor* sample) const {
    return conv2d(g, conv_in_, sample);
}

size_t Unet::skips() const {
    size_t n = 1;
    for (const Level& level : down_) {
        n += level.resnets.size() + (level.resample.weight != nullptr ? 1 : 0);
    }
    return n;
}

Unet::Trunk Unet::trunk(GraphBuilder& g, ggml_tensor* x, ggml_tensor* embedding, const Context& context,
                        size_t most) const {
    Trunk t{{x}, nullptr};
    const auto enough = [&] { return most > 0 && t.skips.size() >= most; };
    const auto with   = [&](size_t block, bool here, ggml_tensor* y) {
        return here && block < context.blocks.size() ? ggml_add(g.ctx, y, context.blocks[block]) : y;
    };
    const auto beside = [&](ggml_tensor* in, ggml_tensor* out) {
        return context.companion == nullptr ? out : context.companion->step(g, in, out, embedding);
    };
    for (size_t l = 0; l < down_.size(); l++) {
        const Level& level = down_[l];
        const bool halves  = level.resample.weight != nullptr;
        const bool early   = attends(dims, l) || !halves;  // whether the adapter's features go in before the halving
        for (size_t i = 0; i < level.resnets.size(); i++) {
            if (enough()) {
                return t;
            }
            x = beside(x, stage(g, level, i, x, embedding, context));
            x = with(l, early && i + 1 == level.resnets.size(), x);
            t.skips.push_back(x);
        }
        if (enough()) {
            return t;
        }
        if (halves) {
            x = with(l, !early, beside(x, conv2d(g, level.resample, x, {2, 1})));
            t.skips.push_back(x);
        }
    }
    ggml_tensor* const in = x;
    for (size_t i = 0; i < mid_.resnets.size(); i++) {
        x = stage(g, mid_, i, x, embedding, context);
    }
    t.middle = with(down_.size(), true, beside(in, x));
    return t;
}

ggml_tensor* Unet::build(GraphBuilder& g, const Inputs& in) const {
    Keep* keep = in.context.keep != nullptr && in.context.keep->kind == DG_KEEP_DEEP ? in.context.keep : nullptr;
    const size_t branch    = keep == nullptr ? skips() : static_cast<size_t>(keep->branch);
    const bool shallow     = keep != nullptr && keep->reuse;
    ggml_tensor* time      = in.guidance == nullptr ? in.time : linear(g, guidance_, in.guidance, in.time);
    Companion* companion   = in.context.companion;
    ggml_tensor* embedding = embed(g, time, in.label, nullptr, companion);
    ggml_tensor* entered   = enter(g, in.sample);
    entered                = companion == nullptr ? entered : companion->enter(g, in.sample, entered);
    Trunk t                = trunk(g, entered, embedding, in.context, shallow ? branch + 1 : 0);
    ggml_tensor* x         = t.middle;
    if (!in.residuals.empty()) {
        for (size_t i = 0; i < t.skips.size(); i++) {
            t.skips[i] = ggml_add(g.ctx, t.skips[i], in.residuals[i]);
        }
        x = shallow ? x : ggml_add(g.ctx, x, in.residuals.back());
    }
    size_t skip = skips();  // the last one that was read
    for (size_t l = 0; l < up_.size(); l++) {
        const Level& level = up_[l];
        for (size_t i = 0; i < level.resnets.size(); i++) {
            skip--;
            if (shallow && skip > branch) {
                continue;
            }
            if (keep != nullptr && skip == branch) {
                if (shallow) {
                    x = keep->kept.at(0);
                } else {
                    keep->made.push_back(x);
                }
            }
            x = companion == nullptr ? x : companion->rise(g, skip, x);
            if (in.context.change != nullptr) {
                in.context.change->freeu(g, l, &x, &t.skips[skip]);
            }
            x = ggml_concat(g.ctx, x, t.skips[skip], 2);
            x = stage(g, level, i, x, embedding, in.context);
        }
        if (level.resample.weight != nullptr && !(shallow && skip > branch)) {
            // to the size of the next skip: odd sizes are not exactly doubled
            x = conv2d(g, level.resample, resize_nearest(g, x, t.skips[skip - 1]->ne[0], t.skips[skip - 1]->ne[1]));
        }
    }
    return conv2d(g, conv_out_, silu(g, group_norm(g, norm_out_, x, dims.groups, 1e-5f)));
}

}  // namespace dg
