// Attention on tiles against a slow reference: tails of queries and keys, several heads and pictures, masks, one wide
// head as the VAE has it.

#include "kernels/attention_bf16.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "check.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "kernels/amx.h"

namespace {

struct Shape {
    int64_t size, heads, queries, keys, batch;
    bool causal;
    std::vector<int32_t> of_row;  // whose keys and values an image of the batch has; none: its own
};

const Shape kShapes[] = {
    {64, 2, 64, 64, 1, false, {}},       {64, 3, 50, 77, 2, false, {}},   {32, 4, 1, 1, 1, false, {}},
    {64, 1, 77, 77, 1, true, {}},        {512, 1, 40, 40, 1, false, {}},  {64, 2, 17, 33, 3, false, {}},
    {32, 2, 20, 9000, 1, false, {}},     {96, 2, 100, 128, 1, false, {}}, {64, 2, 40, 77, 5, false, {1, 0, 1, 1, 0}},
    {64, 1, 33, 50, 3, true, {0, 0, 0}},
};

std::vector<float> random_values(int64_t n, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<size_t>(n));
    for (float& v : values) {
        v = normal(generator);
    }
    return values;
}

// Relative L2 error.
double error_of(const Shape& s, int threads) {
    const int64_t c       = s.size * s.heads;
    const int64_t sources = s.of_row.empty() ? s.batch : 1 + *std::max_element(s.of_row.begin(), s.of_row.end());
    const auto q = random_values(c * s.queries * s.batch, 1), k = random_values(c * s.keys * sources, 2),
               v = random_values(c * s.keys * sources, 3);
    ggml_init_params params{size_t{128} << 20, nullptr, false};
    ggml_context* ctx = ggml_init(params);
    REQUIRE(ctx != nullptr);
    ggml_tensor* tq    = ggml_new_tensor_3d(ctx, GGML_TYPE_F32, c, s.queries, s.batch);
    ggml_tensor* tk    = ggml_new_tensor_3d(ctx, GGML_TYPE_F32, c, s.keys, sources);
    ggml_tensor* tv    = ggml_new_tensor_3d(ctx, GGML_TYPE_F32, c, s.keys, sources);
    ggml_tensor* tmask = nullptr;
    ggml_tensor* trow  = nullptr;
    if (!s.of_row.empty()) {
        trow = ggml_new_tensor_1d(ctx, GGML_TYPE_I32, s.batch);
        std::memcpy(trow->data, s.of_row.data(), ggml_nbytes(trow));
    }
    std::memcpy(tq->data, q.data(), ggml_nbytes(tq));
    std::memcpy(tk->data, k.data(), ggml_nbytes(tk));
    std::memcpy(tv->data, v.data(), ggml_nbytes(tv));
    if (s.causal) {
        tmask = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, s.keys, s.queries);
        for (int64_t i = 0; i < s.keys * s.queries; i++) {
            static_cast<float*>(tmask->data)[i] = i % s.keys > i / s.keys ? -INFINITY : 0.0f;
        }
    }
    ggml_tensor* ty    = dg::attention_bf16(ctx, tq, dg::pack_keys_values(ctx, tk, tv), s.heads, tmask, trow);
    ggml_cgraph* graph = ggml_new_graph(ctx);
    ggml_build_forward_expand(graph, ty);
    ggml_graph_compute_with_ctx(ctx, graph, threads);

    double difference = 0, norm = 0;
    for (int64_t n = 0; n < s.batch; n++) {
        const int64_t source = s.of_row.empty() ? n : s.of_row[static_cast<size_t>(n)];
        for (int64_t h = 0; h < s.heads; h++) {
            for (int64_t i = 0; i < s.queries; i++) {
                const auto at = [&](const std::vector<float>& x, int64_t image, int64_t tokens, int64_t token,
                                    int64_t d) {
                    return static_cast<double>(x[static_cast<size_t>((image * tokens + token) * c + h * s.size + d)]);
                };
                const int64_t last = s.causal ? i + 1 : s.keys;
                std::vector<double> weight(static_cast<size_t>(last));
                double most = -1e300, sum = 0;
                for (int64_t j = 0; j < last; j++) {
                    double score = 0;
                    for (int64_t d = 0; d < s.size; d++) {
                        score += at(q, n, s.queries, i, d) * at(k, source, s.keys, j, d);
                    }
                    weight[static_cast<size_t>(j)] = score / std::sqrt(static_cast<double>(s.size));
                    most                           = std::max(most, weight[static_cast<size_t>(j)]);
                }
                for (double& w : weight) {
                    w = std::exp(w - most);
                    sum += w;
                }
                for (int64_t d = 0; d < s.size; d++) {
                    double want = 0;
                    for (int64_t j = 0; j < last; j++) {
                        want += weight[static_cast<size_t>(j)] / sum * at(v, source, s.keys, j, d);
                    }
                    const double got = static_cast<const float*>(ty->data)[(n * s.queries + i) * c + h * s.size + d];
                    difference += (got - want) * (got - want);
                    norm += want * want;
                }
            }
        }
    }
    ggml_free(ctx);
    return std::sqrt(difference / norm);
}

void check_all() {
    for (const Shape& s : kShapes) {
        if (dg::attention_offered(s.size)) {
            for (const int threads : {1, 3}) {
                CHECK_NEAR(error_of(s, threads), 0, 8e-3);
            }
        }
    }
}

}  // namespace

CASE("agrees with the reference") {
    check_all();
}

CASE("agrees with the reference without tiles") {
    dg::amx_disable(true);
    check_all();
    dg::amx_disable(false);
}

CASE("offers heads of whole tiles") {
    CHECK_EQ(dg::attention_offered(40), false);
}

CHECK_MAIN()
