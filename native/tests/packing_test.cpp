// What writes its result packed: every bit is as if the result were written in F32 and packed afterwards.

#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "kernels/amx.h"
#include "kernels/attention_bf16.h"
#include "kernels/matmul.h"
#include "kernels/pack_q8.h"
#include "kernels/pack_tokens.h"

namespace {

constexpr int64_t kChannels = 128, kHeads = 2;

class Bench {
public:
    Bench() : ctx(ggml_init({size_t{64} << 20, nullptr, false})) { REQUIRE(ctx != nullptr); }
    ~Bench() { ggml_free(ctx); }
    Bench(const Bench&)            = delete;
    Bench& operator=(const Bench&) = delete;

    ggml_tensor* random(ggml_type type, int64_t ne0, int64_t ne1, int64_t ne2 = 1) {
        ggml_tensor* t = ggml_new_tensor_3d(ctx, type, ne0, ne1, ne2);
        std::vector<float> values(static_cast<size_t>(ggml_nelements(t)));
        for (float& v : values) {
            v = normal_(generator_);
        }
        if (type == GGML_TYPE_F32) {
            std::memcpy(t->data, values.data(), ggml_nbytes(t));
        } else {
            ggml_quantize_chunk(type, values.data(), t->data, 0, ne1 * ne2, ne0, nullptr);
        }
        return t;
    }

    // Whether two nodes have equal bits, whatever the number of threads.
    bool equal(ggml_tensor* a, ggml_tensor* b) {
        REQUIRE(ggml_nbytes(a) == ggml_nbytes(b));
        bool same = true;
        for (const int threads : {1, 3}) {
            ggml_cgraph* graph = ggml_new_graph(ctx);
            ggml_build_forward_expand(graph, a);
            ggml_build_forward_expand(graph, b);
            ggml_graph_compute_with_ctx(ctx, graph, threads);
            same = same && std::memcmp(a->data, b->data, ggml_nbytes(a)) == 0;
        }
        return same;
    }

    ggml_context* const ctx;

private:
    std::mt19937 generator_{1};
    std::normal_distribution<float> normal_;
};

std::vector<dg::TokenForm> forms() {
    return dg::wants_q8(GGML_TYPE_Q8_0) ? std::vector<dg::TokenForm>{dg::TokenForm::kWide, dg::TokenForm::kBytes}
                                        : std::vector<dg::TokenForm>{dg::TokenForm::kWide};
}

ggml_tensor* in_form(Bench& b, ggml_tensor* wide, dg::TokenForm form) {
    return form == dg::TokenForm::kBytes ? dg::pack_q8(b.ctx, wide) : wide;
}

ggml_tensor* packed(Bench& b, ggml_tensor* x, ggml_type weight) {
    return dg::pack_tokens(b.ctx, x, dg::TokenMap::kNone, nullptr, nullptr, 0, dg::form_for(weight));
}

}  // namespace

CASE("tokens are packed as bytes at once") {
    if (!dg::wants_q8(GGML_TYPE_Q8_0)) {
        return;
    }
    Bench b;
    for (const int64_t tokens : {1, 16, 37}) {
        ggml_tensor* x      = b.random(GGML_TYPE_F32, kChannels, tokens, 2);
        ggml_tensor* weight = b.random(GGML_TYPE_F32, kChannels, 1);
        for (const dg::TokenMap map : {dg::TokenMap::kNone, dg::TokenMap::kLayerNorm, dg::TokenMap::kScaled,
                                       dg::TokenMap::kGeglu, dg::TokenMap::kGelu, dg::TokenMap::kQuickGelu}) {
            const auto pack = [&](dg::TokenForm form) {
                return dg::pack_tokens(b.ctx, x, map, weight, weight, 1e-5f, form);
            };
            CHECK(b.equal(pack(dg::TokenForm::kBytes), dg::pack_q8(b.ctx, pack(dg::TokenForm::kWide))));
        }
    }
}

CASE("attention writes packed tokens") {
    if (!dg::attention_offered(kChannels / kHeads)) {
        return;
    }
    Bench b;
    for (const int64_t queries : {16, 48, 64}) {
        ggml_tensor* q             = b.random(GGML_TYPE_F32, kChannels, queries, 2);
        ggml_tensor* k             = b.random(GGML_TYPE_F32, kChannels, 50, 2);
        const dg::KeysValues kv    = dg::pack_keys_values(b.ctx, k, b.random(GGML_TYPE_F32, kChannels, 50, 2));
        ggml_tensor* const written = dg::attention_bf16(b.ctx, q, kv, kHeads, nullptr, nullptr);
        for (const dg::TokenForm form : forms()) {
            CHECK(b.equal(dg::attention_packed(b.ctx, q, kv, kHeads, nullptr, nullptr, form),
                          in_form(b, dg::pack_tokens(b.ctx, written), form)));
        }
    }
}

CASE("products write keys and values") {
    Bench b;
    for (const ggml_type type : {GGML_TYPE_BF16, GGML_TYPE_Q8_0}) {
        if (!dg::bf16_products()) {
            return;
        }
        for (const int64_t tokens : {32, 96}) {
            CHECK(dg::writes_keys_values(tokens));
            ggml_tensor* x = packed(b, b.random(GGML_TYPE_F32, 64, tokens, 3), type);
            ggml_tensor* w = b.random(type, 64, kChannels);
            for (ggml_tensor* bias : {static_cast<ggml_tensor*>(nullptr), b.random(GGML_TYPE_F32, kChannels, 1)}) {
                ggml_tensor* y          = dg::matmul_packed(b.ctx, w, x, tokens, 3, bias, nullptr);
                const dg::KeysValues kv = dg::pack_keys_values(b.ctx, y, y);
                CHECK(b.equal(dg::matmul_keys(b.ctx, w, x, tokens, 3, bias), kv.keys));
                CHECK(b.equal(dg::matmul_values(b.ctx, w, x, tokens, 3, bias), kv.values));
            }
        }
    }
    CHECK(!dg::writes_keys_values(77));
}

CASE("gated products write bytes") {
    if (!dg::wants_q8(GGML_TYPE_Q8_0)) {
        return;
    }
    Bench b;
    for (const int64_t tokens : {5, 64, 700}) {
        ggml_tensor* x    = packed(b, b.random(GGML_TYPE_F32, 64, tokens), GGML_TYPE_Q8_0);
        ggml_tensor* w    = b.random(GGML_TYPE_Q8_0, 64, 2 * 160);
        ggml_tensor* bias = b.random(GGML_TYPE_F32, 2 * 160, 1);
        CHECK(b.equal(dg::matmul_geglu(b.ctx, w, x, tokens, bias, dg::TokenForm::kBytes),
                      dg::pack_q8(b.ctx, dg::matmul_geglu(b.ctx, w, x, tokens, bias))));
    }
}

CHECK_MAIN()
