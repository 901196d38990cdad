#include "lora/apply.h"

#include <algorithm>
#include <functional>

#include "kernels/amx.h"
#include "kernels/pack_tokens.h"
#include "lora/rotate.h"

namespace dg {

namespace {

using Other = AppliedChange::Other;

ggml_tensor* scales(GraphBuilder& g, int64_t at, int64_t count) {
    return ggml_view_1d(g.ctx, g.adapter_scales, count, static_cast<size_t>(at) * sizeof(float));
}

ggml_tensor* scaled(GraphBuilder& g, ggml_tensor* x, const Other& other) {
    return ggml_mul(g.ctx, x, scales(g, other.at, 1));
}

// The sum of all vectors of one form, each times its scale. NULL if there are none.
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

// What a stage of a rotation adds to x [C, T, N]: D x, block by block.
ggml_tensor* stage_change(GraphBuilder& g, const Other& other, int64_t stage, ggml_tensor* x) {
    const int64_t n = other.a->ne[0], blocks = other.a->ne[2], tokens = x->ne[1] * x->ne[2];
    const int64_t apart = interleaved(stage);
    ggml_tensor* d      = ggml_view_3d(g.ctx, other.a, n, n, blocks, other.a->nb[1], other.a->nb[2],
                                       static_cast<size_t>(stage) * other.a->nb[3]);
    ggml_tensor* y      = ggml_is_contiguous(x) ? x : ggml_cont(g.ctx, x);
    const auto swapped  = [&](int64_t a, int64_t b, int64_t c, int64_t rest) {  // [a, b, c, rest] -> [a, c, b, rest]
        y = ggml_cont(g.ctx, ggml_permute(g.ctx, ggml_reshape_4d(g.ctx, y, a, b, c, rest), 0, 2, 1, 3));
    };
    if (stage > 0) {
        swapped(n / 2, apart, 2, blocks / apart * tokens);
    }
    swapped(n, blocks, tokens, 1);
    y = product(g, d, y);  // [n, tokens, blocks]
    swapped(n, tokens, blocks, 1);
    if (stage > 0) {
        swapped(n / 2, 2, apart, blocks / apart * tokens);
    }
    return ggml_reshape_3d(g.ctx, y, x->ne[0], x->ne[1], x->ne[2]);
}

// What a rotation adds to x, tokens or a picture.
ggml_tensor* rotation_change(GraphBuilder& g, const Other& other, ggml_tensor* x, bool picture) {
    const bool outputs   = other.form == DG_LORA_OUT_ROTATE;
    const int64_t stages = other.a->ne[3];
    ggml_tensor* at      = picture ? to_tokens(g, x) : x;
    ggml_tensor* sum     = nullptr;
    for (int64_t i = 0; i < stages; i++) {
        ggml_tensor* one = stage_change(g, other, outputs ? i : stages - 1 - i, at);
        one              = outputs ? scaled(g, one, other) : one;
        at               = i + 1 < stages ? ggml_add(g.ctx, at, one) : at;
        sum              = plus(g, sum, one);
    }
    return picture ? to_picture(g, sum, x->ne[0], x->ne[1]) : sum;
}

// Whether a change needs the layer's product without any change. The others change the layer's input.
bool reads_product(const Other& other) {
    return other.form == DG_LORA_OUT_ROTATE || (other.form == DG_LORA_IN_ROTATE && other.b != nullptr);
}

bool any_reads_product(const AppliedChange& change) {
    return std::any_of(change.others.begin(), change.others.end(), reads_product);
}

// A layer's input after the adapters' changes.
ggml_tensor* changed_input(GraphBuilder& g, const AppliedChange& change, ggml_tensor* x, ggml_tensor* in_factors,
                           bool picture) {
    ggml_tensor* y = with_factors(g, x, in_factors);
    for (const Other& other : change.others) {
        if (other.form == DG_LORA_IN_LOW_RANK) {
            ggml_tensor* middle = picture ? conv2d_plain(g, other.conv, x, {1, 0}) : matmul(g, other.a, x);
            middle              = scaled(g, middle, other);
            middle              = picture ? conv2d_plain(g, other.conv_b, middle, {1, 0}) : matmul(g, other.b, middle);
            y                   = ggml_add(g.ctx, y, middle);
        } else if (other.form == DG_LORA_IN_ROTATE && other.b == nullptr) {
            y = ggml_add(g.ctx, y, scaled(g, rotation_change(g, other, x, picture), other));
        }
    }
    return y;
}

// y plus the changes of a layer's product. `plain` is the product of x without changes; `multiply` computes the product of
// another input.
ggml_tensor* changed_product(GraphBuilder& g, const AppliedChange& change, ggml_tensor* x, ggml_tensor* plain,
                             ggml_tensor* y, bool picture, const std::function<ggml_tensor*(ggml_tensor*)>& multiply) {
    const auto factors = [&](ggml_tensor* v) { return picture ? per_channel(g, v) : v; };
    for (const Other& other : change.others) {
        if (!reads_product(other)) {
            continue;
        }
        ggml_tensor* more;
        if (other.form == DG_LORA_OUT_ROTATE) {
            more = rotation_change(g, other, plain, picture);
            if (other.b != nullptr) {
                ggml_tensor* all = ggml_add(g.ctx, plain, more);
                more             = ggml_add(g.ctx, more, ggml_mul(g.ctx, all, factors(scaled(g, other.b, other))));
            }
        } else {
            more = multiply(ggml_add(g.ctx, x, rotation_change(g, other, x, picture)));
            more = with_factors(g, more, factors(other.b));
            more = scaled(g, ggml_sub(g.ctx, more, plain), other);
        }
        y = ggml_add(g.ctx, y, more);
    }
    return y;
}

// The bias after the adapters' changes. NULL if there is none.
ggml_tensor* changed_bias(GraphBuilder& g, const AppliedChange& change, ggml_tensor* bias) {
    ggml_tensor* sum     = plus(g, bias, sum_of(g, change, DG_LORA_BIAS));
    ggml_tensor* factors = bias == nullptr ? nullptr : sum_of(g, change, DG_LORA_BIAS_SCALE);
    return factors == nullptr ? sum : ggml_add(g.ctx, sum, ggml_mul(g.ctx, bias, factors));
}

// sum_of, for the channels of a picture.
ggml_tensor* channel_sum_of(GraphBuilder& g, const AppliedChange& change, int32_t form) {
    ggml_tensor* sum = sum_of(g, change, form);
    return sum == nullptr ? nullptr : per_channel(g, sum);
}

}  // namespace

ggml_tensor* linear_with(GraphBuilder& g, const AppliedChange& change, const Linear& layer, ggml_tensor* x,
                         ggml_tensor* residual) {
    ggml_tensor* in_factors  = sum_of(g, change, DG_LORA_IN_SCALE);
    ggml_tensor* out_factors = sum_of(g, change, DG_LORA_OUT_SCALE);
    ggml_tensor* bias        = changed_bias(g, change, layer.bias);
    ggml_tensor* input       = changed_input(g, change, x, in_factors, false);
    ggml_tensor* y;
    if (out_factors == nullptr && !any_reads_product(change)) {
        y = matmul(g, layer.weight, input, bias, residual);
    } else {
        const auto multiply = [&](ggml_tensor* from) { return matmul(g, layer.weight, from); };
        ggml_tensor* plain  = multiply(x);
        y                   = out_factors == nullptr ? nullptr : ggml_mul(g.ctx, plain, out_factors);
        y                   = plus(g, y, input == x ? plain : multiply(input));
        y                   = changed_product(g, change, x, plain, y, false, multiply);
        y                   = plus(g, plus(g, y, bias), residual);
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
        g.packed[middle].make = [&g, down, weight](TokenForm form) {
            return pack_tokens(g.ctx, down, TokenMap::kScaled, weight, nullptr, 0, form);
        };
    }
    return matmul(g, change.b, middle, nullptr, y);
}

ggml_tensor* conv2d_with(GraphBuilder& g, const AppliedChange& change, const Conv2d& layer, ggml_tensor* x,
                         const ConvOptions& options) {
    ggml_tensor* in_factors  = channel_sum_of(g, change, DG_LORA_IN_SCALE);
    ggml_tensor* out_factors = channel_sum_of(g, change, DG_LORA_OUT_SCALE);
    const ConvOptions geometry{options.stride, options.pad};
    Conv2d with_bias   = layer;
    with_bias.bias     = changed_bias(g, change, layer.bias);
    ggml_tensor* input = changed_input(g, change, x, in_factors, true);
    ggml_tensor* y;
    if (out_factors == nullptr && !any_reads_product(change)) {
        y = conv2d_plain(g, with_bias, input, options);
    } else {
        // these act on the product without its bias
        Conv2d without      = layer;
        without.bias        = ggml_scale(g.ctx, layer.bias, 0.0f);
        const auto multiply = [&](ggml_tensor* from) { return conv2d_plain(g, without, from, geometry); };
        ggml_tensor* plain  = multiply(x);
        y                   = out_factors == nullptr ? nullptr : ggml_mul(g.ctx, plain, out_factors);
        y                   = plus(g, y, input == x ? plain : multiply(input));
        y                   = changed_product(g, change, x, plain, y, true, multiply);
        y                   = ggml_add(g.ctx, y, per_channel(g, with_bias.bias));
        y = plus(g, y, options.per_picture != nullptr ? per_channel(g, options.per_picture) : nullptr);
        y = plus(g, y, options.residual);
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
    out.bias   = changed_bias(g, change, norm.bias);
    return out;
}

}  // namespace dg
