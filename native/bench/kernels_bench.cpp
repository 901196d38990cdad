// GFLOP/s of the CPU kernels at SDXL's shapes, beside ggml's own operations: kernels_bench [threads] [filter].
// With one thread the thread's CPU time counts, so that other programs on the machine disturb little; with more it is the
// clock. The best of several runs.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ggml-cpu.h"
#include "ggml.h"
#include "kernels/attention_bf16.h"
#include "kernels/conv2d.h"
#include "kernels/matmul.h"
#include "kernels/pack_picture.h"
#include "kernels/pack_tokens.h"

namespace {

int threads        = 1;
const char* filter = "";

double now() {
    if (threads > 1) {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    }
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

ggml_tensor* filled(ggml_tensor* t) {
    static std::mt19937 generator(1);
    std::normal_distribution<float> normal;
    std::vector<float> row(static_cast<size_t>(t->ne[0]));
    for (int64_t r = 0; r < ggml_nelements(t) / t->ne[0]; r++) {
        for (float& v : row) {
            v = normal(generator);
        }
        char* to = static_cast<char*>(t->data) + static_cast<size_t>(r) * ggml_row_size(t->type, t->ne[0]);
        if (t->type == GGML_TYPE_F32) {
            std::memcpy(to, row.data(), row.size() * 4);
        } else {
            ggml_quantize_chunk(t->type, row.data(), to, 0, 1, t->ne[0], nullptr);
        }
    }
    return t;
}

void measure(const std::string& name, double operations, const std::function<ggml_tensor*(ggml_context*)>& build) {
    if (name.find(filter) == std::string::npos) {
        return;
    }
    ggml_init_params params{size_t{2} << 30, nullptr, false};
    ggml_context* ctx  = ggml_init(params);
    ggml_cgraph* graph = ggml_new_graph(ctx);
    ggml_build_forward_expand(graph, build(ctx));
    ggml_cplan plan = ggml_graph_plan(graph, threads, nullptr);
    std::vector<uint8_t> work(plan.work_size + 64);
    plan.work_data = work.data();
    double best = 1e30, spent = 0;
    for (int i = 0; i < 30 && (i < 3 || spent < 0.7); i++) {
        const double began = now();
        ggml_graph_compute(graph, &plan);
        const double took = now() - began;
        best              = std::min(best, took);
        spent += took;
    }
    std::printf("%-44s %8.2f ms %7.1f GFLOP/s\n", name.c_str(), 1e3 * best, operations / best * 1e-9);
    std::fflush(stdout);
    ggml_free(ctx);
}

struct Conv {
    int64_t size, in, out, batch;
    int32_t kernel, stride;
};

void convolutions() {
    const Conv list[] = {{32, 320, 320, 2, 3, 1},  {32, 960, 320, 2, 3, 1},  {16, 640, 640, 2, 3, 1},
                         {16, 1920, 640, 2, 3, 1}, {8, 1280, 1280, 2, 3, 1}, {8, 2560, 1280, 2, 3, 1},
                         {64, 512, 512, 1, 3, 1},  {128, 256, 256, 1, 3, 1}, {256, 128, 128, 1, 3, 1},
                         {32, 320, 320, 2, 3, 2},  {32, 960, 320, 2, 1, 1},  {8, 2560, 1280, 2, 1, 1},
                         {256, 128, 3, 1, 3, 1},   {32, 4, 320, 2, 3, 1},    {32, 320, 320, 16, 3, 1},
                         {16, 640, 640, 16, 3, 1}, {8, 1280, 1280, 16, 3, 1}};
    for (const Conv& c : list) {
        for (const auto& kind :
             {std::pair{GGML_TYPE_F16, true}, std::pair{GGML_TYPE_F16, false}, std::pair{GGML_TYPE_BF16, false}}) {
            const ggml_type type = kind.first;
            const bool exact     = kind.second;
            const int64_t result = c.size / c.stride, taps = int64_t{c.kernel} * c.kernel;
            char name[100];
            std::snprintf(name, sizeof name, "conv %d x %d, %d -> %d, %d^2 x %d%s, %s%s", c.kernel, c.kernel,
                          static_cast<int>(c.in), static_cast<int>(c.out), static_cast<int>(c.size),
                          static_cast<int>(c.batch), c.stride == 2 ? ", stride 2" : "", ggml_type_name(type),
                          exact ? ", exact" : "");
            measure(name, 2.0 * static_cast<double>(result * result * c.batch * c.in * c.out * taps),
                    [&](ggml_context* ctx) {
                        ggml_tensor* w    = ggml_new_tensor_2d(ctx, type, dg::conv_packed_columns(type, c.kernel, c.in),
                                                               dg::conv_packed_rows(c.out));
                        ggml_tensor* bias = filled(ggml_new_tensor_1d(ctx, GGML_TYPE_F32, c.out));
                        ggml_tensor* x = filled(ggml_new_tensor_4d(ctx, GGML_TYPE_F32, c.size, c.size, c.in, c.batch));
                        const dg::ConvShape shape{c.kernel, c.stride, c.kernel / 2};
                        if (exact || !dg::conv_takes_packed(type)) {
                            return dg::conv_direct(ctx, x, filled(w), bias, c.out, shape);
                        }
                        return dg::conv_packed(ctx, dg::pack_picture(ctx, x, shape.pad, nullptr), c.size, c.size, c.in,
                                               filled(w), bias, c.out, shape, {}, false);
                    });
        }
    }
}

void linears() {
    const int64_t list[][3] = {{512, 640, 640},    {512, 640, 5120},  {512, 2560, 640},   {128, 1280, 1280},
                               {128, 1280, 10240}, {128, 5120, 1280}, {154, 2048, 1280},  {154, 1280, 5120},
                               {2048, 640, 640},   {2, 1280, 1280},   {1024, 1280, 1280}, {1024, 5120, 1280},
                               {1024, 1280, 10240}};
    for (const auto& s : list) {
        const int64_t tokens = s[0], in = s[1], out = s[2];
        for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_K}) {
            for (const bool ours : {true, false}) {
                if (in % ggml_blck_size(type) != 0 || (ours && !dg::matmul_offered(type, in, out))) {
                    continue;
                }
                char name[100];
                std::snprintf(name, sizeof name, "linear %d x %d -> %d, %s, %s", static_cast<int>(tokens),
                              static_cast<int>(in), static_cast<int>(out), ggml_type_name(type),
                              ours ? "ours" : "ggml");
                measure(name, 2.0 * static_cast<double>(tokens * in * out), [&](ggml_context* ctx) {
                    ggml_tensor* w = filled(ggml_new_tensor_2d(ctx, type, in, out));
                    ggml_tensor* x = filled(ggml_new_tensor_3d(ctx, GGML_TYPE_F32, in, tokens, 1));
                    if (!ours) {
                        return ggml_mul_mat(ctx, w, x);
                    }
                    ggml_tensor* packed =
                        dg::pack_tokens(ctx, x, dg::TokenMap::kNone, nullptr, nullptr, 0, dg::form_for(type));
                    return dg::matmul_packed(ctx, w, packed, tokens, 1, nullptr, nullptr);
                });
            }
        }
    }
}

void attentions() {
    const int64_t list[][4] = {
        {4096, 4096, 10, 2}, {1024, 1024, 20, 2}, {256, 256, 10, 2}, {64, 64, 20, 2}, {1024, 77, 20, 2}};
    for (const auto& s : list) {
        const int64_t queries = s[0], keys = s[1], heads = s[2], batch = s[3], size = 64;
        for (const bool ours : {true, false}) {
            if (ours && !dg::attention_offered(size)) {
                continue;
            }
            char name[100];
            std::snprintf(name, sizeof name, "attention %d x %d, %d heads, batch %d, %s", static_cast<int>(queries),
                          static_cast<int>(keys), static_cast<int>(heads), static_cast<int>(batch),
                          ours ? "ours" : "ggml");
            measure(name, 4.0 * static_cast<double>(queries * keys * heads * size * batch), [&](ggml_context* ctx) {
                const auto tokens = [&](int64_t n) {
                    return filled(ggml_new_tensor_3d(ctx, GGML_TYPE_F32, size * heads, n, batch));
                };
                ggml_tensor *q = tokens(queries), *k = tokens(keys), *v = tokens(keys);
                if (ours) {
                    return dg::attention_bf16(ctx, q, dg::pack_keys_values(ctx, k, v), heads, nullptr, nullptr);
                }
                const auto split = [&](ggml_tensor* x) {
                    return ggml_permute(ctx, ggml_reshape_4d(ctx, x, size, heads, x->ne[1], batch), 0, 2, 1, 3);
                };
                return ggml_flash_attn_ext(ctx, split(q), split(k), split(v), nullptr, 0.125f, 0, 0);
            });
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    threads = argc > 1 ? std::atoi(argv[1]) : 1;
    filter  = argc > 2 ? argv[2] : "";
    convolutions();
    linears();
    attentions();
    return 0;
}
