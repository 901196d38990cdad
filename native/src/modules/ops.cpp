#include "modules/ops.h"

#include "base/error.h"
#include "daguerre.h"
#include "kernels/amx.h"
#include "kernels/conv2d.h"
#include "kernels/matmul.h"
#include "kernels/moments.h"
#include "kernels/pack_picture.h"
#include "kernels/pack_q8.h"
#include "kernels/pack_tokens.h"
#include "lora/apply.h"

namespace dg {

ggml_tensor* product(GraphBuilder& g, ggml_tensor* a, ggml_tensor* b) {
    ggml_tensor* result = ggml_mul_mat(g.ctx, a, b);
    if (g.traits.exact || !g.traits.cpu) {  // GPUs would sum in half precision, which SDXL's VAE overflows
        ggml_prec_set_acc(result, GGML_PREC_F32);
    }
    return result;
}

namespace {

// GPUs round a convolution's input to half precision, Vulkan's even with F32 weights. A wide input is made smaller by this factor before,
// and the result larger after. Beyond 65504 half precision has no numbers; so far a VAE's stream is smaller than 128 times that.
constexpr float kWide = 128;

ggml_tensor* narrowed(GraphBuilder& g, ggml_tensor* x, const ConvOptions& options) {
    return options.wide && !g.traits.cpu ? ggml_scale(g.ctx, ggml_is_contiguous(x) ? x : ggml_cont(g.ctx, x), 1 / kWide)
                                         : x;
}

ggml_tensor* widened(GraphBuilder& g, ggml_tensor* y, const ConvOptions& options) {
    return options.wide && !g.traits.cpu ? ggml_scale(g.ctx, y, kWide) : y;
}

// A convolution by ggml's own kernel. NULL if the device has none for it. CUDA's says that it takes every type, and takes two.
ggml_tensor* conv_by_kernel(GraphBuilder& g, const Conv2d& layer, ggml_tensor* x, const ConvOptions& options) {
    if (layer.weight->type != GGML_TYPE_F16 && layer.weight->type != GGML_TYPE_F32) {
        g.without_direct++;
        return nullptr;
    }
    ggml_tensor* kernel = ggml_reshape_4d(g.ctx, layer.weight, layer.kernel, layer.kernel, layer.in, layer.out);
    x                   = narrowed(g, ggml_is_contiguous(x) ? x : ggml_cont(g.ctx, x), options);
    ggml_tensor* y =
        ggml_conv_2d_direct(g.ctx, kernel, x, options.stride, options.stride, options.pad, options.pad, 1, 1);
    if (!ggml_backend_supports_op(g.backend, y)) {
        g.without_direct++;
        return nullptr;
    }
    return ggml_add(g.ctx, widened(g, y, options), per_channel(g, layer.bias));
}

// A convolution as a matrix product over columns in memory.
ggml_tensor* conv_im2col(GraphBuilder& g, const Conv2d& layer, ggml_tensor* x, const ConvOptions& options) {
    ggml_tensor* kernel = ggml_reshape_4d(g.ctx, layer.weight, layer.kernel, layer.kernel, layer.in, layer.out);
    // The columns are the first factor: [K, pixels] x [K, out] has pixels in the fastest dimension, as pictures need.
    const bool half      = layer.weight->type == GGML_TYPE_F16;
    ggml_tensor* columns = ggml_im2col(g.ctx, kernel, narrowed(g, x, options), options.stride, options.stride,
                                       options.pad, options.pad, 1, 1, true, half ? GGML_TYPE_F16 : GGML_TYPE_F32);
    const int64_t width  = columns->ne[1];
    const int64_t height = columns->ne[2];
    const int64_t batch  = columns->ne[3];
    ggml_tensor* flat    = ggml_reshape_2d(g.ctx, columns, columns->ne[0], width * height * batch);
    ggml_tensor* result;
    if (layer.weight->type == GGML_TYPE_F16 || layer.weight->type == GGML_TYPE_F32) {
        result = product(g, flat, layer.weight);  // [pixels, out]
        result = ggml_reshape_4d(g.ctx, result, width, height, batch, layer.out);
        result = batch == 1 ? ggml_reshape_4d(g.ctx, result, width, height, layer.out, 1)
                            : ggml_cont(g.ctx, ggml_permute(g.ctx, result, 0, 1, 3, 2));
    } else {
        result = product(g, layer.weight, flat);  // [out, pixels]
        result = ggml_reshape_3d(g.ctx, result, layer.out, width * height, batch);
        result = ggml_cont(g.ctx, ggml_permute(g.ctx, result, 1, 0, 2, 3));
        result = ggml_reshape_4d(g.ctx, result, width, height, layer.out, batch);
    }
    return ggml_add(g.ctx, widened(g, result, options), per_channel(g, layer.bias));
}

}  // namespace

ggml_tensor* per_channel(GraphBuilder& g, ggml_tensor* vectors) {
    return ggml_reshape_4d(g.ctx, vectors, 1, 1, vectors->ne[0], vectors->ne[1]);
}

// The change that the graph's adapters make to a weight. NULL if they do not change it.
static const AppliedChange* change_of(const GraphBuilder& g, const ggml_tensor* weight) {
    return g.adapters != nullptr ? g.adapters->find(weight) : nullptr;
}

static Norm adapted(GraphBuilder& g, const Norm& norm) {
    const AppliedChange* change = change_of(g, norm.weight);
    return change != nullptr ? norm_with(g, *change, norm) : norm;
}

bool may_pack(const GraphBuilder& g) {
    return g.traits.cpu && (f32_products() || (g.traits.bf16 && bf16_products()));
}

// Notes how y is packed for our kernels, if they can read it.
template <typename Pack>
static ggml_tensor* with_packed(GraphBuilder& g, ggml_tensor* y, const ggml_tensor* x, Pack pack) {
    if (may_pack(g) && y->ne[0] % kTileDepth == 0 && ggml_is_contiguous(x)) {
        g.packed[y].make = pack;
    }
    return y;
}

// Packs x on the way through a step.
static std::function<ggml_tensor*(TokenForm)> packer_by(GraphBuilder& g, ggml_tensor* x, TokenMap map) {
    return [&g, x, map](TokenForm form) { return pack_tokens(g.ctx, x, map, nullptr, nullptr, 0, form); };
}

// Whether our F32 kernels are faster than ggml's. On a core with AVX2, ggml's products of F16 and quantized weights (llamafile)
// reach 60 to 75 GFLOP/s, as ours do; its products of F32 weights reach 30 to 40. For a few tokens, widening the weights costs
// more than it saves. On ARM the same is done unmeasured.
static bool matmul_pays(const ggml_tensor* weight, const ggml_tensor* x) {
    return !f32_products() || (weight->type == GGML_TYPE_F32 && x->ne[1] * x->ne[2] >= 8);
}

// Whether one of our kernels computes the product of a weight and x.
static bool multiplies_packed(const GraphBuilder& g, const ggml_tensor* weight, const ggml_tensor* x) {
    return may_pack(g) && matmul_offered(weight->type, weight->ne[0], weight->ne[1]) && matmul_pays(weight, x) &&
           x->nb[0] == sizeof(float) && x->ne[3] == 1;
}

// x packed as tokens for the product with a weight. It is packed once for all layers that read it.
static ggml_tensor* packed_tokens(GraphBuilder& g, const ggml_tensor* weight, ggml_tensor* x) {
    Packing& packing = g.packed[x];
    if (packing.make == nullptr) {
        packing.make = [&g, x](TokenForm form) {
            return pack_tokens(g.ctx, x, TokenMap::kNone, nullptr, nullptr, 0, form);
        };
    }
    return packing.get(form_for(weight->type));
}

ggml_tensor* linear(GraphBuilder& g, const Linear& layer, ggml_tensor* x, ggml_tensor* residual) {
    const AppliedChange* change = change_of(g, layer.weight);
    return change != nullptr ? linear_with(g, *change, layer, x, residual)
                             : matmul(g, layer.weight, x, layer.bias, residual);
}

ggml_tensor* matmul(GraphBuilder& g, ggml_tensor* weight, ggml_tensor* x, ggml_tensor* bias, ggml_tensor* residual) {
    if (multiplies_packed(g, weight, x) && (residual == nullptr || ggml_is_contiguous(residual))) {
        ggml_tensor* packed = packed_tokens(g, weight, x);
        ggml_tensor* y      = matmul_packed(g.ctx, weight, packed, x->ne[1], x->ne[2], bias, residual);
        if (residual == nullptr) {
            g.products[y] = {weight, packed, bias};
        }
        return y;
    }
    ggml_tensor* y = product(g, weight, x);
    if (bias != nullptr) {
        y = ggml_add(g.ctx, y, bias);
    }
    return residual == nullptr ? y : ggml_add(g.ctx, residual, y);
}

// A convolution's input, packed. If a norm of it is only noted, packing computes the norm.
static ggml_tensor* packed_picture(GraphBuilder& g, ggml_tensor* x, int pad) {
    const auto normed = g.normed.find(x);
    if (normed != g.normed.end()) {
        return pack_picture(g.ctx, normed->second.first, pad, &normed->second.second);
    }
    const auto doubled = g.doubled.find(x);
    if (doubled != g.doubled.end()) {
        return pack_picture(g.ctx, doubled->second, pad, nullptr, true);
    }
    return pack_picture(g.ctx, x->nb[0] == sizeof(float) ? x : ggml_cont(g.ctx, x), pad, nullptr);
}

ggml_tensor* conv2d(GraphBuilder& g, const Conv2d& layer, ggml_tensor* x, const ConvOptions& options) {
    const AppliedChange* change = change_of(g, layer.weight);
    return change != nullptr ? conv2d_with(g, *change, layer, x, options) : conv2d_plain(g, layer, x, options);
}

ggml_tensor* pad_picture(GraphBuilder& g, ggml_tensor* x, int left, int right, int top, int bottom) {
    const bool wrap_x = (g.traits.wrap & DG_WRAP_X) != 0, wrap_y = (g.traits.wrap & DG_WRAP_Y) != 0;
    if (wrap_x && (left > 0 || right > 0)) {
        x    = ggml_pad_ext_circular(g.ctx, x, left, right, 0, 0, 0, 0, 0, 0);
        left = right = 0;
    }
    if (wrap_y && (top > 0 || bottom > 0)) {
        x   = ggml_pad_ext_circular(g.ctx, x, 0, 0, top, bottom, 0, 0, 0, 0);
        top = bottom = 0;
    }
    if (left == 0 && right == 0 && top == 0 && bottom == 0) {
        return x;
    }
    return ggml_pad_ext(g.ctx, x, left, right, top, bottom, 0, 0, 0, 0);
}

ggml_tensor* conv2d_plain(GraphBuilder& g, const Conv2d& layer, ggml_tensor* x, const ConvOptions& options) {
    if (g.traits.wrap != 0 && options.pad > 0) {
        ConvOptions inside = options;
        inside.pad         = 0;
        return conv2d_plain(g, layer, pad_picture(g, x, options.pad, options.pad, options.pad, options.pad), inside);
    }
    const ConvShape shape{static_cast<int32_t>(layer.kernel), options.stride, options.pad};
    if (layer.packed && conv_takes_packed(layer.weight->type)) {
        return conv_packed(g.ctx, packed_picture(g, x, options.pad), x->ne[0], x->ne[1], layer.in, layer.weight,
                           layer.bias, layer.out, shape, {options.per_picture, options.residual}, g.traits.exact);
    }
    ggml_tensor* y = nullptr;
    if (layer.packed) {
        y = conv_direct(g.ctx, x, layer.weight, layer.bias, layer.out, shape);
    } else if (g.traits.direct_convolution) {
        y = conv_by_kernel(g, layer, x, options);
    }
    if (y == nullptr) {
        y = conv_im2col(g, layer, x, options);
    }
    if (options.per_picture != nullptr) {
        y = ggml_add(g.ctx, y, per_channel(g, options.per_picture));
    }
    return options.residual == nullptr ? y : ggml_add(g.ctx, options.residual, y);
}

ggml_tensor* layer_norm(GraphBuilder& g, const Norm& layer, ggml_tensor* x, float eps) {
    const Norm norm = adapted(g, layer);
    ggml_tensor* y  = ggml_add(g.ctx, ggml_mul(g.ctx, ggml_norm(g.ctx, x, eps), norm.weight), norm.bias);
    return with_packed(g, y, x, [&g, x, norm, eps](TokenForm form) {
        return pack_tokens(g.ctx, x, TokenMap::kLayerNorm, norm.weight, norm.bias, eps, form);
    });
}

ggml_tensor* group_norm(GraphBuilder& g, const Norm& layer, ggml_tensor* x, int groups, float eps) {
    const Norm norm = adapted(g, layer);
    ggml_tensor* y  = ggml_group_norm(g.ctx, x, groups, eps);
    y               = ggml_add(g.ctx, ggml_mul(g.ctx, y, per_channel(g, norm.weight)), per_channel(g, norm.bias));
    if (may_pack(g) && ggml_is_contiguous(x)) {
        g.normed[y] = {x, {group_stats(g.ctx, x, groups, eps), norm.weight, norm.bias, false}};
    }
    return y;
}

ggml_tensor* group_norm_by(GraphBuilder& g, const Norm& norm, ggml_tensor* x, ggml_tensor* statistics) {
    const int64_t channels = x->ne[2], groups = statistics->ne[1];
    const auto spread = [&](size_t row) {  // one of the two for each group -> for each channel
        ggml_tensor* v = ggml_view_2d(g.ctx, statistics, 1, groups, statistics->nb[1], row * statistics->nb[0]);
        return ggml_reshape_1d(g.ctx, ggml_repeat_4d(g.ctx, ggml_cont(g.ctx, v), channels / groups, groups, 1, 1),
                               channels);
    };
    // (x - mean) * r * weight + bias, as one product and one sum over the picture
    ggml_tensor* scale = ggml_mul(g.ctx, spread(1), norm.weight);
    ggml_tensor* shift = ggml_sub(g.ctx, norm.bias, ggml_mul(g.ctx, spread(0), scale));
    ggml_tensor* y     = ggml_add(g.ctx, ggml_mul(g.ctx, x, per_channel(g, scale)), per_channel(g, shift));
    if (may_pack(g) && ggml_is_contiguous(x)) {
        g.normed[y] = {x, {statistics, norm.weight, norm.bias, false}};
    }
    return y;
}

ggml_tensor* group_moments(GraphBuilder& g, ggml_tensor* x, int groups) {
    if (g.traits.cpu) {
        return find_moments(g.ctx, x, groups);
    }
    x                 = ggml_reshape_2d(g.ctx, ggml_cont(g.ctx, x), x->ne[0] * x->ne[1] * x->ne[2] / groups, groups);
    ggml_tensor* mean = ggml_mean(g.ctx, x);
    ggml_tensor* variance = ggml_mean(g.ctx, ggml_sqr(g.ctx, ggml_sub(g.ctx, x, mean)));
    return ggml_concat(g.ctx, mean, variance, 0);
}

ggml_tensor* silu(GraphBuilder& g, ggml_tensor* x) {
    ggml_tensor* y    = ggml_silu(g.ctx, x);
    const auto normed = g.normed.find(x);
    if (normed != g.normed.end()) {
        auto with_silu        = normed->second;
        with_silu.second.silu = true;
        g.normed[y]           = with_silu;
    }
    return y;
}

ggml_tensor* gelu(GraphBuilder& g, ggml_tensor* x) {
    return with_packed(g, ggml_gelu_erf(g.ctx, x), x, packer_by(g, x, TokenMap::kGelu));
}

ggml_tensor* quick_gelu(GraphBuilder& g, ggml_tensor* x) {
    ggml_tensor* y = ggml_mul(g.ctx, x, ggml_sigmoid(g.ctx, ggml_scale(g.ctx, x, 1.702f)));
    return with_packed(g, y, x, packer_by(g, x, TokenMap::kQuickGelu));
}

ggml_tensor* geglu(GraphBuilder& g, const Linear& layer, ggml_tensor* x) {
    ggml_tensor* h = linear(g, layer, x);
    ggml_tensor* y = g.traits.exact ? ggml_geglu_erf_swapped(g.ctx, h) : ggml_geglu_swapped(g.ctx, h);
    if (change_of(g, layer.weight) != nullptr) {
        return with_packed(g, y, h, packer_by(g, h, TokenMap::kGeglu));
    }
    if (y->ne[0] % kTileDepth == 0 && multiplies_packed(g, layer.weight, x)) {
        g.packed[y].make = [&g, weight = layer.weight, bias = layer.bias, x](TokenForm form) {
            return matmul_geglu(g.ctx, weight, packed_tokens(g, weight, x), x->ne[1] * x->ne[2], bias, form);
        };
    }
    return y;
}

ggml_tensor* to_tokens(GraphBuilder& g, ggml_tensor* x) {
    const int64_t pixels = x->ne[0] * x->ne[1];
    ggml_tensor* y       = ggml_reshape_3d(g.ctx, x, pixels, x->ne[2], x->ne[3]);
    y                    = ggml_cont(g.ctx, ggml_permute(g.ctx, y, 1, 0, 2, 3));
    const auto normed    = g.normed.find(x);
    if (normed != g.normed.end() && pixels % kTile == 0 && x->ne[2] % kTileDepth == 0) {
        g.packed[y].make = [&g, from = normed->second](TokenForm form) {
            ggml_tensor* wide = pack_pixels(g.ctx, from.first, from.second);
            return form == TokenForm::kBytes ? pack_q8(g.ctx, wide) : wide;
        };
    }
    return y;
}

ggml_tensor* to_picture(GraphBuilder& g, ggml_tensor* x, int64_t w, int64_t h) {
    ggml_tensor* y = ggml_cont(g.ctx, ggml_permute(g.ctx, x, 1, 0, 2, 3));
    return ggml_reshape_4d(g.ctx, y, w, h, x->ne[0], x->ne[2]);
}

Resnet make_resnet(Params& p, const std::string& name, int64_t in, int64_t out, int64_t time_embed) {
    Resnet r;
    r.norm1 = p.norm(name + ".norm1", in);
    r.conv1 = p.conv2d(name + ".conv1", 3, in, out);
    if (time_embed > 0) {
        r.time = p.linear(name + ".time_emb_proj", time_embed, out, true, true);
    }
    r.norm2 = p.norm(name + ".norm2", out);
    r.conv2 = p.conv2d(name + ".conv2", 3, out, out);
    if (in != out) {
        r.shortcut = p.conv2d(name + ".conv_shortcut", 1, in, out);
    }
    return r;
}

ggml_tensor* resnet(GraphBuilder& g, const Resnet& r, ggml_tensor* x, ggml_tensor* embedding, const BuildNorm& norm) {
    ggml_tensor* h    = silu(g, norm(r.norm1, x));
    h                 = conv2d(g, r.conv1, h, {1, 1, embedding != nullptr ? linear(g, r.time, embedding) : nullptr});
    h                 = silu(g, norm(r.norm2, h));
    const bool vae    = embedding == nullptr;  // its stream may be beyond half precision
    ggml_tensor* skip = r.shortcut.weight != nullptr ? conv2d(g, r.shortcut, x, {1, 0, nullptr, nullptr, vae}) : x;
    return conv2d(g, r.conv2, h, {1, 1, nullptr, skip});
}

ggml_tensor* resize_nearest(GraphBuilder& g, ggml_tensor* x, int64_t w, int64_t h) {
    ggml_tensor* y = ggml_interpolate(g.ctx, x, w, h, x->ne[2], x->ne[3], GGML_SCALE_MODE_NEAREST);
    if (may_pack(g) && w == 2 * x->ne[0] && h == 2 * x->ne[1] && x->nb[0] == sizeof(float)) {
        g.doubled[y] = x;
    }
    return y;
}

ggml_tensor* pixel_unshuffle(GraphBuilder& g, ggml_tensor* x, int64_t r) {
    const int64_t w = x->ne[0] / r, h = x->ne[1] / r, c = x->ne[2], n = x->ne[3];
    x = ggml_reshape_4d(g.ctx, x, r, w, r * h, c * n);  // [x, w, y h, C N]
    x = ggml_cont(g.ctx, ggml_permute(g.ctx, x, 2, 0, 1, 3));  // -> [w, y h, x, C N]
    x = ggml_reshape_4d(g.ctx, x, w, r, h, r * c * n);  // [w, y, h, x C N]
    x = ggml_cont(g.ctx, ggml_permute(g.ctx, x, 0, 2, 1, 3));  // [w, h, y, x C N]
    x = ggml_reshape_4d(g.ctx, x, w * h, r, r, c * n);  // [wh, y, x, C N]
    x = ggml_cont(g.ctx, ggml_permute(g.ctx, x, 0, 2, 1, 3));  // [wh, x, y, C N]
    return ggml_reshape_4d(g.ctx, x, w, h, c * r * r, n);
}

}  // namespace dg
