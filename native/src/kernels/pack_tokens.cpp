#include "kernels/pack_tokens.h"

#include <algorithm>
#include <cmath>

#include "kernels/node.h"
#include "kernels/product_f32.h"
#include "kernels/q8_block.h"
#include "kernels/tiles.h"
#include "kernels/vecmath.h"

namespace dg {

namespace {

#if defined(__AVX512BF16__) || defined(DG_F32_PRODUCTS)

using vec::Floats;

// Each of these makes a vector of values of one token, from k on, out of the token's row of x: begin() is given the row, the
// node and its number, at() does the rest.

struct Plain {
    void begin(const float* row, int64_t, const ggml_tensor*, float) { x = row; }
    Floats at(int64_t k) const { return vec::load(x + k); }

    const float* x = nullptr;
};

struct LayerNorm {
    void begin(const float* row, int64_t in, const ggml_tensor* node, float eps) {
        x               = row;
        weight          = floats_of(node->src[1]);
        bias            = floats_of(node->src[2]);
        const auto size = static_cast<float>(in);
        Floats sum      = vec::all(0);
        for (int64_t k = 0; k < in; k += vec::kWidth) {
            sum = sum + vec::load(x + k);
        }
        mean          = vec::all(vec::sum(sum) / size);
        Floats square = vec::all(0);
        for (int64_t k = 0; k < in; k += vec::kWidth) {
            const Floats d = vec::load(x + k) - mean;
            square         = vec::fmadd(d, d, square);
        }
        scale = vec::all(1.0f / std::sqrt(vec::sum(square) / size + eps));
    }
    Floats at(int64_t k) const {
        return vec::fmadd((vec::load(x + k) - mean) * scale, vec::load(weight + k), vec::load(bias + k));
    }

    const float *x = nullptr, *weight = nullptr, *bias = nullptr;
    Floats mean, scale;
};

struct Scaled {
    void begin(const float* row, int64_t, const ggml_tensor* node, float) {
        x      = row;
        scales = floats_of(node->src[1]);
    }
    Floats at(int64_t k) const { return vec::load(x + k) * vec::load(scales + k); }

    const float *x = nullptr, *scales = nullptr;
};

struct Geglu {
    void begin(const float* row, int64_t in, const ggml_tensor*, float) {
        x    = row;
        gate = row + in;
    }
    Floats at(int64_t k) const { return vec::load(x + k) * vec::gelu(vec::load(gate + k)); }

    const float *x = nullptr, *gate = nullptr;
};

template <Floats (*F)(Floats)>
struct Activation {
    void begin(const float* row, int64_t, const ggml_tensor*, float) { x = row; }
    Floats at(int64_t k) const { return F(vec::load(x + k)); }

    const float* x = nullptr;
};

const float* row_of_token(const ggml_tensor* x, int64_t token) {
    return row_of(x, token % x->ne[1], token / x->ne[1] % x->ne[2], token / (x->ne[1] * x->ne[2]));
}

template <typename Row>
void pack(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const ggml_tensor* x = dst->src[0];
    const float number   = number_of(userdata);
    const int64_t tokens = x->ne[1] * x->ne[2] * x->ne[3];
#if defined(__AVX512BF16__)
    const bool bytes = dst->type == GGML_TYPE_I8;
    const int64_t in = bytes ? dst->ne[0] / kQ8TokenBlock * kQ8Block : dst->ne[0] / kTile;
    for (int64_t group = ith; group < dst->ne[1]; group += nth) {
        Row rows[kTile];
        const int64_t count = std::min<int64_t>(kTile, tokens - group * kTile);
        for (int64_t i = 0; i < count; i++) {
            rows[i].begin(row_of_token(x, group * kTile + i), in, dst, number);
        }
        for (int64_t k = 0; k < in; k += kTileDepth) {
            __m512i r[kTile];
            for (int64_t i = 0; i < kTile; i++) {
                r[i] = i < count ? narrow(rows[i].at(k), rows[i].at(k + kTile)) : _mm512_setzero_si512();
            }
            transpose16(r);
            store_tokens(bytes, r, static_cast<char*>(dst->data) + group * static_cast<int64_t>(dst->nb[1]), k);
        }
    }
#else
    const int64_t in = dst->ne[2] * kBlock;
    for (int64_t t = tokens * ith / nth; t < tokens * (ith + 1) / nth; t++) {
        Row row;
        row.begin(row_of_token(x, t), in, dst, number);
        float* out = static_cast<float*>(dst->data) + t * kBlock;
        for (int64_t k = 0; k < in; k += kBlock, out += dst->ne[1] * kBlock) {
            for (int64_t i = 0; i < kBlock; i += vec::kWidth) {
                vec::store(out + i, row.at(k + i));
            }
        }
    }
#endif
}

ggml_custom_op_t packer(TokenMap map) {
    switch (map) {
        case TokenMap::kLayerNorm: return pack<LayerNorm>;
        case TokenMap::kScaled: return pack<Scaled>;
        case TokenMap::kGeglu: return pack<Geglu>;
        case TokenMap::kGelu: return pack<Activation<vec::gelu>>;
        case TokenMap::kQuickGelu: return pack<Activation<vec::quick_gelu>>;
        default: return pack<Plain>;
    }
}

#else

// Never run: matmul_offered() is false.
ggml_custom_op_t packer(TokenMap) {
    return [](ggml_tensor*, int, int, void*) {};
}

#endif

}  // namespace

ggml_tensor* pack_tokens(ggml_context* ctx, ggml_tensor* x, TokenMap map, ggml_tensor* weight, ggml_tensor* bias,
                         float eps, TokenForm form) {
    const bool bytes     = form == TokenForm::kBytes;
    const int64_t in     = map == TokenMap::kGeglu ? x->ne[0] / 2 : x->ne[0];
    const int64_t tokens = x->ne[1] * x->ne[2] * x->ne[3];
    if (f32_products()) {
        return custom_node(ctx, kPackTokens, packer(map), GGML_TYPE_F32, {kBlock, padded_rows(tokens), in / kBlock, 1},
                           {x, weight, bias}, userdata_of(eps));
    }
    return custom_node(ctx, kPackTokens, packer(map), bytes ? GGML_TYPE_I8 : GGML_TYPE_BF16,
                       packed_shape(bytes, in, ceil_div(tokens, kTile)), {x, weight, bias}, userdata_of(eps));
}

}  // namespace dg
