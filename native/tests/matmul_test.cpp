// Packed matrix products against a slow reference: tails of tokens and rows, batches, views, quantized weights,
// with and without tiles, in BF16 and in F32.

#include "kernels/matmul.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "check.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "kernels/amx.h"
#include "kernels/pack_q8.h"
#include "kernels/pack_tokens.h"

namespace {

struct Shape {
    int64_t in, out, tokens, batch;
    bool bias;
};

const Shape kShapes[] = {
    {32, 16, 1, 1, true},    {64, 48, 16, 1, false}, {96, 32, 17, 2, true},    {320, 80, 77, 2, true},
    {640, 64, 33, 3, true},  {32, 144, 64, 1, true}, {1280, 32, 31, 1, true},  {64, 16, 700, 1, false},
    {96, 48, 2100, 1, true}, {544, 16, 5, 1, false}, {2560, 80, 430, 1, true},  // the last in chunks that differ
};

std::vector<float> random_values(size_t n, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(n);
    for (float& v : values) {
        v = normal(generator);
    }
    return values;
}

// Relative L2 error of the kernel with weights of a type, rounded the same way on both sides: the largest over these numbers of threads.
// The reference is slow, so it is made once.
double error_of(const Shape& s, ggml_type type, const std::vector<int>& threads) {
    const auto x    = random_values(static_cast<size_t>(s.in * s.tokens * s.batch), 1);
    auto w          = random_values(static_cast<size_t>(s.in * s.out), 2);
    const auto bias = random_values(static_cast<size_t>(s.out), 3);

    ggml_init_params params{size_t{64} << 20, nullptr, false};
    ggml_context* ctx = ggml_init(params);
    REQUIRE(ctx != nullptr);
    ggml_tensor* tx = ggml_new_tensor_3d(ctx, GGML_TYPE_F32, s.in, s.tokens, s.batch);
    ggml_tensor* tw = ggml_new_tensor_2d(ctx, type, s.in, s.out);
    ggml_tensor* tb = ggml_new_tensor_1d(ctx, GGML_TYPE_F32, s.out);
    std::memcpy(tx->data, x.data(), ggml_nbytes(tx));
    std::memcpy(tb->data, bias.data(), ggml_nbytes(tb));
    if (type == GGML_TYPE_F32) {
        std::memcpy(tw->data, w.data(), ggml_nbytes(tw));
    } else {
        ggml_quantize_chunk(type, w.data(), tw->data, 0, s.out, s.in, nullptr);
        ggml_get_type_traits(type)->to_float(tw->data, w.data(), s.in * s.out);
    }

    REQUIRE(dg::matmul_offered(type, s.in, s.out));
    ggml_tensor* packed = dg::pack_tokens(ctx, tx);
    if (dg::wants_q8(type)) {
        packed = dg::pack_q8(ctx, packed);
    }
    ggml_tensor* ty    = dg::matmul_packed(ctx, tw, packed, s.tokens, s.batch, s.bias ? tb : nullptr, nullptr);
    ggml_cgraph* graph = ggml_new_graph(ctx);
    ggml_build_forward_expand(graph, ty);
    CHECK_EQ(ty->ne[0], s.out);
    CHECK_EQ(ty->ne[1], s.tokens);
    CHECK_EQ(ty->ne[2], s.batch);

    std::vector<double> want;
    double norm = 0;
    for (int64_t t = 0; t < s.tokens * s.batch; t++) {
        for (int64_t o = 0; o < s.out; o++) {
            double sum = s.bias ? static_cast<double>(bias[static_cast<size_t>(o)]) : 0;
            for (int64_t k = 0; k < s.in; k++) {
                sum += static_cast<double>(x[static_cast<size_t>(t * s.in + k)]) *
                       static_cast<double>(w[static_cast<size_t>(o * s.in + k)]);
            }
            want.push_back(sum);
            norm += sum * sum;
        }
    }
    double worst = 0;
    for (const int n : threads) {
        std::memset(ty->data, 0xff, ggml_nbytes(ty));  // nothing of the last round counts
        ggml_graph_compute_with_ctx(ctx, graph, n);
        double difference = 0;
        const auto* got   = static_cast<const float*>(ty->data);
        for (size_t i = 0; i < want.size(); i++) {
            const double d = static_cast<double>(got[i]) - want[i];
            difference += d * d;
        }
        const double error = std::sqrt(difference / norm);
        worst              = std::isnan(error) ? error : std::max(worst, error);
    }
    ggml_free(ctx);
    return worst;
}

void check_all(const std::vector<int>& threads) {
    for (const Shape& s : kShapes) {
        if (dg::f32_products()) {  // only the sums are rounded
            for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0,
                                         GGML_TYPE_Q5_1, GGML_TYPE_IQ4_NL, GGML_TYPE_Q6_K, GGML_TYPE_Q2_K}) {
                if (s.in % ggml_blck_size(type) == 0) {
                    CHECK_NEAR(error_of(s, type, threads), 0, 1e-6);
                }
            }
            continue;
        }
        CHECK_NEAR(error_of(s, GGML_TYPE_BF16, threads), 0, 4e-3);  // tokens are rounded to BF16
        // Quantized weights are rounded once more, and to bytes with the tokens where that is how they are multiplied.
        const double bound = dg::wants_q8(GGML_TYPE_Q8_0) ? 1e-2 : 6e-3;
        for (const ggml_type type : {GGML_TYPE_Q8_0, GGML_TYPE_Q4_0, GGML_TYPE_Q5_1, GGML_TYPE_IQ4_NL, GGML_TYPE_Q6_K,
                                     GGML_TYPE_Q4_K, GGML_TYPE_Q2_K}) {
            if (s.in % ggml_blck_size(type) == 0) {
                CHECK_NEAR(error_of(s, type, threads), 0, bound);
            }
        }
    }
}

}  // namespace

CASE("agrees with the reference") {
    if (dg::bf16_products() || dg::f32_products()) {
        check_all({1, 2, 5});
    }
}

CASE("agrees with the reference without tiles") {
    dg::amx_disable(true);
    if (dg::bf16_products()) {
        check_all({2});
    }
    dg::amx_disable(false);
}

// What is packed on the way: each against the same made by ggml's operations from packed identity weights.
CASE("norms and activations while packing, residuals while storing") {
    if (!dg::bf16_products() && !dg::f32_products()) {
        return;
    }
    const double bound    = dg::f32_products() ? 1e-6 : 5e-3;
    constexpr int64_t kIn = 96, kTokens = 37;
    const auto x = random_values(kIn * kTokens, 5), w = random_values(kIn, 6), b = random_values(kIn, 7);
    ggml_init_params params{size_t{16} << 20, nullptr, false};
    ggml_context* ctx = ggml_init(params);
    REQUIRE(ctx != nullptr);
    const auto tensor = [&](const std::vector<float>& values, int64_t ne0, int64_t ne1) {
        ggml_tensor* t = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, ne0, ne1);
        std::memcpy(t->data, values.data(), ggml_nbytes(t));
        return t;
    };
    ggml_tensor* tx       = tensor(x, kIn, kTokens);
    ggml_tensor* tw       = tensor(w, kIn, 1);
    ggml_tensor* tb       = tensor(b, kIn, 1);
    ggml_tensor* identity = ggml_new_tensor_2d(ctx, GGML_TYPE_BF16, kIn, kIn);
    ggml_tensor* gated    = ggml_new_tensor_2d(ctx, GGML_TYPE_BF16, kIn, 2 * kIn);
    for (int64_t i = 0; i < kIn * kIn; i++) {
        const ggml_bf16_t v                                   = ggml_fp32_to_bf16(i % kIn == i / kIn ? 1.0f : 0.0f);
        static_cast<ggml_bf16_t*>(identity->data)[i]          = v;
        static_cast<ggml_bf16_t*>(gated->data)[i]             = v;
        static_cast<ggml_bf16_t*>(gated->data)[kIn * kIn + i] = v;
    }
    const auto unpack = [&](ggml_tensor* packed, ggml_tensor* residual) {
        return dg::matmul_packed(ctx, identity, packed, kTokens, 1, nullptr, residual);
    };
    ggml_tensor* norm = ggml_add(ctx, ggml_mul(ctx, ggml_norm(ctx, tx, 1e-5f), tw), tb);
    const std::pair<ggml_tensor*, ggml_tensor*> pairs[] = {
        {unpack(dg::pack_tokens(ctx, tx, dg::TokenMap::kLayerNorm, tw, tb, 1e-5f), nullptr), norm},
        {unpack(dg::pack_tokens(ctx, tx, dg::TokenMap::kGelu), nullptr), ggml_gelu_erf(ctx, tx)},
        {unpack(dg::pack_tokens(ctx, tx, dg::TokenMap::kQuickGelu), nullptr),
         ggml_mul(ctx, tx, ggml_sigmoid(ctx, ggml_scale(ctx, tx, 1.702f)))},
        {unpack(dg::pack_tokens(ctx, tx), tx), ggml_scale(ctx, tx, 2)},
        {unpack(dg::matmul_geglu(ctx, gated, dg::pack_tokens(ctx, tx), kTokens, nullptr), nullptr),
         ggml_mul(ctx, tx, ggml_gelu_erf(ctx, tx))},
    };
    for (const auto& [got, want] : pairs) {
        ggml_cgraph* graph = ggml_new_graph(ctx);
        ggml_build_forward_expand(graph, got);
        ggml_build_forward_expand(graph, want);
        ggml_graph_compute_with_ctx(ctx, graph, 2);
        double difference = 0, square = 0;
        for (int64_t i = 0; i < kIn * kTokens; i++) {
            const double y = static_cast<const float*>(want->data)[i];
            const double d = static_cast<const float*>(got->data)[i] - y;
            difference += d * d;
            square += y * y;
        }
        CHECK_NEAR(std::sqrt(difference / square), 0, bound);
    }
    ggml_free(ctx);
}

CASE("offers what it can") {
    CHECK_EQ(dg::matmul_offered(GGML_TYPE_F32, 64, 64), dg::f32_products());
    CHECK_EQ(dg::matmul_offered(GGML_TYPE_BF16, 48, 64), false);
    CHECK_EQ(dg::matmul_offered(GGML_TYPE_BF16, 64, 40), false);
    CHECK_EQ(dg::matmul_offered(GGML_TYPE_BF16, 64, 48), dg::bf16_products() || dg::f32_products());
}

CHECK_MAIN()
