#include "kernels/pack_tokens.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/named.h"
#include "kernels/pack_f32.h"
#include "kernels/tiles.h"
#include "kernels/vecmath.h"

namespace dg {

namespace {

#if defined(__AVX512BF16__)

__m512i narrow(__m512 low, __m512 high) {
    return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

// Each of these makes 32 values of one token, from k on, out of the token's row of x: begin() is given the row, the
// node and its number, at() does the rest.

struct Plain {
    void begin(const float* row, int64_t, const ggml_tensor*, float) { x = row; }
    __m512i at(int64_t k) const { return to_bf16(x + k); }

    const float* x = nullptr;
};

struct LayerNorm {
    void begin(const float* row, int64_t in, const ggml_tensor* node, float eps) {
        x          = row;
        weight     = static_cast<const float*>(node->src[1]->data);
        bias       = static_cast<const float*>(node->src[2]->data);
        __m512 sum = _mm512_setzero_ps();
        for (int64_t k = 0; k < in; k += kTile) {
            sum = _mm512_add_ps(sum, _mm512_loadu_ps(x + k));
        }
        mean          = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / static_cast<float>(in));
        __m512 square = _mm512_setzero_ps();
        for (int64_t k = 0; k < in; k += kTile) {
            const __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + k), mean);
            square         = _mm512_fmadd_ps(d, d, square);
        }
        const float variance = _mm512_reduce_add_ps(square) / static_cast<float>(in);
        scale                = _mm512_set1_ps(1.0f / std::sqrt(variance + eps));
    }
    __m512i at(int64_t k) const { return narrow(value(k), value(k + kTile)); }
    __m512 value(int64_t k) const {
        const __m512 n = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + k), mean), scale);
        return _mm512_fmadd_ps(n, _mm512_loadu_ps(weight + k), _mm512_loadu_ps(bias + k));
    }

    const float *x = nullptr, *weight = nullptr, *bias = nullptr;
    __m512 mean, scale;
};

struct Scaled {
    void begin(const float* row, int64_t, const ggml_tensor* node, float) {
        x      = row;
        scales = static_cast<const float*>(node->src[1]->data);
    }
    __m512i at(int64_t k) const { return narrow(value(k), value(k + kTile)); }
    __m512 value(int64_t k) const { return _mm512_mul_ps(_mm512_loadu_ps(x + k), _mm512_loadu_ps(scales + k)); }

    const float *x = nullptr, *scales = nullptr;
};

struct Geglu {
    void begin(const float* row, int64_t in, const ggml_tensor*, float) {
        x    = row;
        gate = row + in;
    }
    __m512i at(int64_t k) const { return narrow(value(k), value(k + kTile)); }
    __m512 value(int64_t k) const { return _mm512_mul_ps(_mm512_loadu_ps(x + k), gelu16(_mm512_loadu_ps(gate + k))); }

    const float *x = nullptr, *gate = nullptr;
};

template <__m512 (*F)(__m512)>
struct Activation {
    void begin(const float* row, int64_t, const ggml_tensor*, float) { x = row; }
    __m512i at(int64_t k) const { return narrow(F(_mm512_loadu_ps(x + k)), F(_mm512_loadu_ps(x + k + kTile))); }

    const float* x = nullptr;
};

template <typename Row>
void pack(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const ggml_tensor* x  = dst->src[0];
    const uint32_t number = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(userdata));
    float value;
    std::memcpy(&value, &number, sizeof value);
    const int64_t in = dst->ne[0] / kTile, tokens = x->ne[1] * x->ne[2] * x->ne[3];
    for (int64_t group = ith; group < dst->ne[1]; group += nth) {
        Row rows[kTile];
        const int64_t count = std::min<int64_t>(kTile, tokens - group * kTile);
        for (int64_t i = 0; i < count; i++) {
            const int64_t t  = group * kTile + i;
            const int64_t t1 = t % x->ne[1], t2 = t / x->ne[1] % x->ne[2], t3 = t / (x->ne[1] * x->ne[2]);
            const char* row = static_cast<const char*>(x->data) + t1 * x->nb[1] + t2 * x->nb[2] + t3 * x->nb[3];
            rows[i].begin(reinterpret_cast<const float*>(row), in, dst, value);
        }
        for (int64_t k = 0; k < in; k += kTileDepth) {
            __m512i r[kTile];
            for (int64_t i = 0; i < kTile; i++) {
                r[i] = i < count ? rows[i].at(k) : _mm512_setzero_si512();
            }
            transpose16(r);
            char* tile = static_cast<char*>(dst->data) + (group * in + k) * kTile * 2;
            for (int64_t i = 0; i < kTile; i++) {
                _mm512_storeu_si512(tile + i * 64, r[i]);
            }
        }
    }
}

constexpr ggml_custom_op_t kPlain     = pack<Plain>;
constexpr ggml_custom_op_t kLayerNorm = pack<LayerNorm>;
constexpr ggml_custom_op_t kScaled    = pack<Scaled>;
constexpr ggml_custom_op_t kGeglu     = pack<Geglu>;
constexpr ggml_custom_op_t kGelu      = pack<Activation<gelu16>>;
constexpr ggml_custom_op_t kQuickGelu = pack<Activation<quick_gelu16>>;

#else

// Never run: matmul_offered() is false.
void nothing(ggml_tensor*, int, int, void*) {}

constexpr ggml_custom_op_t kPlain = nothing, kLayerNorm = nothing, kScaled = nothing, kGeglu = nothing, kGelu = nothing,
                           kQuickGelu = nothing;

#endif

ggml_tensor* node(ggml_context* ctx, ggml_custom_op_t function, int64_t in, ggml_tensor* x,
                  ggml_tensor* weight = nullptr, ggml_tensor* bias = nullptr, float number = 0) {
    uint32_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    ggml_tensor* args[]  = {x, weight, bias};
    const int64_t groups = (x->ne[1] * x->ne[2] * x->ne[3] + kTile - 1) / kTile;
    return named(ggml_custom_4d(ctx, GGML_TYPE_BF16, in * kTile, groups, 1, 1, args, weight != nullptr ? 3 : 1,
                                function, GGML_N_TASKS_MAX, reinterpret_cast<void*>(static_cast<uintptr_t>(bits))),
                 kPackTokens);
}

}  // namespace

ggml_tensor* pack_tokens(ggml_context* ctx, ggml_tensor* x) {
    return f32_products() ? pack_tokens_f32(ctx, x, TokenMap::kNone) : node(ctx, kPlain, x->ne[0], x);
}

ggml_tensor* pack_layer_norm(ggml_context* ctx, ggml_tensor* x, ggml_tensor* weight, ggml_tensor* bias, float eps) {
    return f32_products() ? pack_tokens_f32(ctx, x, TokenMap::kLayerNorm, weight, bias, eps)
                          : node(ctx, kLayerNorm, x->ne[0], x, weight, bias, eps);
}

ggml_tensor* pack_scaled(ggml_context* ctx, ggml_tensor* x, ggml_tensor* scales) {
    return f32_products() ? pack_tokens_f32(ctx, x, TokenMap::kScaled, scales)
                          : node(ctx, kScaled, x->ne[0], x, scales);
}

ggml_tensor* pack_geglu(ggml_context* ctx, ggml_tensor* x) {
    return f32_products() ? pack_tokens_f32(ctx, x, TokenMap::kGeglu) : node(ctx, kGeglu, x->ne[0] / 2, x);
}

ggml_tensor* pack_gelu(ggml_context* ctx, ggml_tensor* x) {
    return f32_products() ? pack_tokens_f32(ctx, x, TokenMap::kGelu) : node(ctx, kGelu, x->ne[0], x);
}

ggml_tensor* pack_quick_gelu(ggml_context* ctx, ggml_tensor* x) {
    return f32_products() ? pack_tokens_f32(ctx, x, TokenMap::kQuickGelu) : node(ctx, kQuickGelu, x->ne[0], x);
}

}  // namespace dg
