#include "lora/apply.h"

#include <initializer_list>

#include "kernels/amx.h"
#include "kernels/pack_tokens.h"

namespace dg {

namespace {

using Other = AppliedChange::Other;

ggml_tensor* scales(GraphBuilder& g, int64_t at, int64_t count) {
    return ggml_view_1d(g.ctx, g.adapter_scales, count, static_cast<size_t>(at) * sizeof(float));
}

ggml_tensor* scaled(GraphBuilder& g, ggml_tensor* x, const Other& other) {
    return ggml_mul(g.ctx, x, scales(g, other.at, 1));
}

// The sum of all changes of one form that are vectors, each with its scale; NULL where there are none.
ggml_tensor* sum_of(GraphBuilder& g, const AppliedChange& change, int32_t form) {
    ggml_tensor* sum = nullptr;
    for (const Other& other : change.others) {
        if (other.form == form) {
            ggml_tensor* one = scaled(g, other.a, other);
            sum              = sum == nullptr ? one : ggml_add(g.ctx, sum, one);
        }
    }
    return sum;
}

// x with a factor of each feature added: x + x * factors.
ggml_tensor* with_factors(GraphBuilder& g, ggml_tensor* x, ggml_tensor* factors) {
    return factors == nullptr ? x : ggml_add(g.ctx, x, ggml_mul(g.ctx, x, factors));
}

ggml_tensor* plus(GraphBuilder& g, ggml_tensor* x, ggml_tensor* y) {
    return y == nullptr ? x : x == nullptr ? y : ggml_add(g.ctx, x, y);
}

// kron(A, B) x: with x read as [d, b] per token, B on its columns, then A on its rows.
ggml_tensor* kron_product(GraphBuilder& g, const Other& other, ggml_tensor* x) {
    const int64_t b = other.a->ne[0], a = other.a->ne[1], d = other.b->ne[0], c = other.b->ne[1];
    const int64_t tokens = x->ne[1] * x->ne[2];
    ggml_tensor* y       = ggml_reshape_2d(g.ctx, ggml_is_contiguous(x) ? x : ggml_cont(g.ctx, x), d, b * tokens);
    y                    = ggml_reshape_3d(g.ctx, matmul(g, other.b, y), c, b, tokens);
    y                    = ggml_cont(g.ctx, ggml_permute(g.ctx, y, 1, 0, 2, 3));  // [b, c, tokens]
    y = ggml_reshape_3d(g.ctx, matmul(g, other.a, ggml_reshape_2d(g.ctx, y, b, c * tokens)), a, c, tokens);
    y = ggml_cont(g.ctx, ggml_permute(g.ctx, y, 1, 0, 2, 3));  // [c, a, tokens]
    return ggml_reshape_3d(g.ctx, y, a * c, x->ne[1], x->ne[2]);
}

// Those of a picture's channels.
ggml_tensor* channel_sum_of(GraphBuilder& g, const AppliedChange& change, int32_t form) {
    ggml_tensor* sum = sum_of(g, change, form);
    return sum == nullptr ? nullptr : per_channel(g, sum);
}

}  // namespace

ggml_tensor* linear_with(GraphBuilder& g, const AppliedChange& change, const Linear& layer, ggml_tensor* x,
                         ggml_tensor* residual) {
    ggml_tensor* in_factors  = sum_of(g, change, DG_LORA_IN_SCALE);
    ggml_tensor* out_factors = sum_of(g, change, DG_LORA_OUT_SCALE);
    ggml_tensor* bias        = plus(g, layer.bias, sum_of(g, change, DG_LORA_BIAS));
    ggml_tensor* y;
    if (out_factors == nullptr) {
        y = matmul(g, layer.weight, with_factors(g, x, in_factors), bias, residual);
    } else {
        ggml_tensor* plain = matmul(g, layer.weight, x);
        y                  = ggml_mul(g.ctx, plain, out_factors);
        y = plus(g, y, in_factors == nullptr ? plain : matmul(g, layer.weight, with_factors(g, x, in_factors)));
        y = plus(g, plus(g, y, bias), residual);
    }
    for (const Other& other : change.others) {
        if (other.form == DG_LORA_DENSE) {
            y = ggml_add(g.ctx, y, scaled(g, matmul(g, other.a, x), other));
        } else if (other.form == DG_LORA_KRON) {
            y = ggml_add(g.ctx, y, scaled(g, kron_product(g, other, x), other));
        }
    }
    if (change.rank == 0) {
        return y;
    }
    ggml_tensor* down   = matmul(g, change.a, x);
    ggml_tensor* weight = scales(g, change.at, change.rank);
    ggml_tensor* middle = ggml_mul(g.ctx, down, weight);
    if (may_pack(g) && ggml_is_contiguous(down)) {
        g.packed[middle] = pack_tokens(g.ctx, down, TokenMap::kScaled, weight);
    }
    return matmul(g, change.b, middle, nullptr, y);
}

ggml_tensor* conv2d_with(GraphBuilder& g, const AppliedChange& change, const Conv2d& layer, ggml_tensor* x,
                         const ConvOptions& options) {
    ggml_tensor* in_factors  = channel_sum_of(g, change, DG_LORA_IN_SCALE);
    ggml_tensor* out_factors = channel_sum_of(g, change, DG_LORA_OUT_SCALE);
    const ConvOptions geometry{options.stride, options.pad};
    Conv2d with_bias = layer;
    with_bias.bias   = plus(g, layer.bias, sum_of(g, change, DG_LORA_BIAS));
    ggml_tensor* y;
    if (out_factors == nullptr) {
        y = conv2d_plain(g, with_bias, with_factors(g, x, in_factors), options);
    } else {
        // factors act on the product without its bias
        Conv2d without     = layer;
        without.bias       = ggml_scale(g.ctx, layer.bias, 0.0f);
        ggml_tensor* plain = conv2d_plain(g, without, x, geometry);
        y                  = ggml_mul(g.ctx, plain, out_factors);
        y                  = plus(g, y,
                 in_factors == nullptr ? plain : conv2d_plain(g, without, with_factors(g, x, in_factors), geometry));
        y                  = ggml_add(g.ctx, y, per_channel(g, with_bias.bias));
        y                  = plus(g, y, options.per_picture != nullptr ? per_channel(g, options.per_picture) : nullptr);
        y                  = plus(g, y, options.residual);
    }
    for (const Other& other : change.others) {
        if (other.form == DG_LORA_DENSE) {
            y = ggml_add(g.ctx, y, scaled(g, conv2d_plain(g, other.conv, x, geometry), other));
        }
    }
    if (change.rank == 0) {
        return y;
    }
    ggml_tensor* down   = conv2d_plain(g, change.conv_a, x, geometry);
    ggml_tensor* weight = scales(g, change.at, change.rank);
    down                = ggml_mul(g.ctx, down, per_channel(g, weight));
    return conv2d_plain(g, change.conv_b, down, {1, 0, nullptr, y});
}

Norm norm_with(GraphBuilder& g, const AppliedChange& change, const Norm& norm) {
    Norm out   = norm;
    out.weight = plus(g, norm.weight, sum_of(g, change, DG_LORA_NORM));
    out.bias   = plus(g, norm.bias, sum_of(g, change, DG_LORA_BIAS));
    return out;
}

}  // namespace dg
