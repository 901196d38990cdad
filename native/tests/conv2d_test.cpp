// The direct convolution against a slow reference, over shapes that reach every path: rows shorter than a
// group of 16, strides, 1x1 kernels, odd channel counts, several images, tails of pixels and channels.

#include "kernels/conv2d.h"

#include <cmath>
#include <random>
#include <vector>

#include "check.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "kernels/amx.h"
#include "kernels/conv_problem.h"
#include "kernels/moments.h"
#include "kernels/pack_picture.h"

namespace {

struct Shape {
    int64_t w, h, in, out, n;
    dg::ConvShape conv;
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

std::vector<float> reference(const Shape& s, const std::vector<float>& x, const std::vector<float>& w,
                             const std::vector<float>& bias) {
    const int64_t k = s.conv.kernel, ow = (s.w + 2 * s.conv.pad - k) / s.conv.stride + 1,
                  oh = (s.h + 2 * s.conv.pad - k) / s.conv.stride + 1;
    std::vector<float> y;
    for (int64_t n = 0; n < s.n; n++) {
        for (int64_t o = 0; o < s.out; o++) {
            for (int64_t oy = 0; oy < oh; oy++) {
                for (int64_t ox = 0; ox < ow; ox++) {
                    double sum = bias[static_cast<size_t>(o)];
                    for (int64_t c = 0; c < s.in; c++) {
                        for (int64_t ky = 0; ky < k; ky++) {
                            for (int64_t kx = 0; kx < k; kx++) {
                                const int64_t iy = oy * s.conv.stride + ky - s.conv.pad;
                                const int64_t ix = ox * s.conv.stride + kx - s.conv.pad;
                                if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) {
                                    continue;
                                }
                                sum += static_cast<double>(
                                           x[static_cast<size_t>(((n * s.in + c) * s.h + iy) * s.w + ix)]) *
                                       static_cast<double>(w[static_cast<size_t>(((o * s.in + c) * k + ky) * k + kx)]);
                            }
                        }
                    }
                    y.push_back(static_cast<float>(sum));
                }
            }
        }
    }
    return y;
}

// Relative L2 error of the kernel at a type and thread count, exact or by the fastest way.
double error_of(const Shape& s, ggml_type type, int threads, bool exact = true) {
    const int64_t k = s.conv.kernel;
    const auto x    = random_values(static_cast<size_t>(s.w * s.h * s.in * s.n), 1);
    auto w          = random_values(static_cast<size_t>(k * k * s.in * s.out), 2);
    const auto bias = random_values(static_cast<size_t>(s.out), 3);
    std::vector<char> typed(w.size() * ggml_type_size(type));
    if (type == GGML_TYPE_F16) {
        ggml_fp32_to_fp16_row(w.data(), reinterpret_cast<ggml_fp16_t*>(typed.data()), static_cast<int64_t>(w.size()));
        ggml_fp16_to_fp32_row(reinterpret_cast<ggml_fp16_t*>(typed.data()), w.data(), static_cast<int64_t>(w.size()));
    } else if (type == GGML_TYPE_BF16) {
        ggml_fp32_to_bf16_row(w.data(), reinterpret_cast<ggml_bf16_t*>(typed.data()), static_cast<int64_t>(w.size()));
        ggml_bf16_to_fp32_row(reinterpret_cast<ggml_bf16_t*>(typed.data()), w.data(), static_cast<int64_t>(w.size()));
    } else {
        std::memcpy(typed.data(), w.data(), typed.size());
    }
    const auto want = reference(s, x, w, bias);

    ggml_init_params params{size_t{64} << 20, nullptr, false};
    ggml_context* ctx = ggml_init(params);
    REQUIRE(ctx != nullptr);
    ggml_tensor* tx = ggml_new_tensor_4d(ctx, GGML_TYPE_F32, s.w, s.h, s.in, s.n);
    ggml_tensor* tw =
        ggml_new_tensor_2d(ctx, type, dg::conv_packed_columns(type, k, s.in), dg::conv_packed_rows(s.out));
    ggml_tensor* tb = ggml_new_tensor_1d(ctx, GGML_TYPE_F32, s.out);
    std::memcpy(tx->data, x.data(), ggml_nbytes(tx));
    std::memcpy(tb->data, bias.data(), ggml_nbytes(tb));
    dg::conv_pack(typed.data(), type, k, s.in, s.out, tw->data);
    ggml_tensor* ty    = exact ? dg::conv_direct(ctx, tx, tw, tb, s.out, s.conv)
                               : dg::conv_packed(ctx, dg::pack_picture(ctx, tx, s.conv.pad, nullptr), s.w, s.h, s.in, tw,
                                                 tb, s.out, s.conv, {}, false);
    ggml_cgraph* graph = ggml_new_graph(ctx);
    ggml_build_forward_expand(graph, ty);
    ggml_graph_compute_with_ctx(ctx, graph, threads);
    double difference = 0, norm = 0;
    const auto* got = static_cast<const float*>(ty->data);
    CHECK_EQ(static_cast<size_t>(ggml_nelements(ty)), want.size());
    for (size_t i = 0; i < want.size(); i++) {
        difference += (got[i] - want[i]) * static_cast<double>(got[i] - want[i]);
        norm += want[i] * static_cast<double>(want[i]);
    }
    ggml_free(ctx);
    return std::sqrt(difference / norm);
}

const Shape kShapes[] = {
    {16, 16, 4, 32, 1, {3, 1, 1}},   {8, 8, 64, 40, 2, {3, 1, 1}},  {17, 19, 5, 3, 1, {3, 1, 1}},
    {5, 3, 7, 9, 3, {3, 1, 1}},      {33, 18, 66, 8, 1, {3, 1, 1}}, {32, 32, 6, 10, 2, {1, 1, 0}},
    {16, 12, 12, 16, 2, {3, 2, 1}},  {17, 17, 9, 12, 1, {3, 2, 0}}, {1, 1, 3, 5, 1, {3, 1, 1}},
    {40, 40, 129, 24, 1, {3, 1, 1}}, {64, 70, 3, 20, 1, {3, 1, 1}}, {8, 8, 96, 70, 3, {1, 1, 0}},
    {7, 9, 320, 33, 2, {1, 1, 0}},   {9, 6, 34, 17, 2, {5, 1, 2}},
};

}  // namespace

CASE("agrees with the reference in F32") {
    for (const Shape& s : kShapes) {
        CHECK_NEAR(error_of(s, GGML_TYPE_F32, 1), 0, 1e-6);
    }
}

CASE("agrees with the reference in F16") {  // weights rounded the same way on both sides, sums in F32
    for (const Shape& s : kShapes) {
        CHECK_NEAR(error_of(s, GGML_TYPE_F16, 1), 0, 1e-6);
    }
}

CASE("agrees with the reference in BF16") {  // inputs are rounded to BF16 where the CPU multiplies it
    for (const Shape& s : kShapes) {
        CHECK_NEAR(error_of(s, GGML_TYPE_BF16, 1), 0, dg::f32_products() ? 1e-6 : 4e-3);
    }
}

CASE("agrees with the reference in BF16 without tiles") {
    dg::amx_disable(true);
    for (const Shape& s : kShapes) {
        CHECK_NEAR(error_of(s, GGML_TYPE_BF16, 2), 0, 4e-3);
    }
    dg::amx_disable(false);
}

CASE("threads do not change the result") {
    for (const Shape& s : kShapes) {
        for (const int threads : {2, 3, 7}) {
            CHECK_NEAR(error_of(s, GGML_TYPE_F32, threads), 0, 1e-6);
        }
    }
}

CASE("Winograd's filters agree with the reference") {
    if (!dg::f32_products()) {
        return;
    }
    const Shape shapes[] = {
        {4, 4, 32, 16, 17, {3, 1, 1}},  {8, 8, 64, 40, 5, {3, 1, 1}},    {16, 12, 104, 33, 3, {3, 1, 1}},
        {32, 36, 37, 17, 1, {3, 1, 1}}, {44, 28, 320, 18, 1, {3, 1, 1}}, {16, 16, 640, 20, 2, {3, 1, 1}},
    };
    for (const Shape& s : shapes) {
        for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16}) {
            for (const int threads : {1, 3}) {
                CHECK_NEAR(error_of(s, type, threads, false), 0, 1e-5);
            }
        }
    }
}

CASE("Winograd's filters in BF16 agree with the reference") {
    if (!dg::bf16_products()) {
        return;
    }
    const Shape shapes[] = {
        {16, 16, 64, 64, 1, {3, 1, 1}}, {32, 32, 96, 80, 2, {3, 1, 1}},  {18, 22, 64, 70, 1, {3, 1, 1}},
        {64, 8, 200, 64, 1, {3, 1, 1}}, {34, 66, 64, 100, 1, {3, 1, 0}}, {8, 40, 320, 64, 3, {3, 1, 1}},
    };
    for (const Shape& s : shapes) {
        CHECK(dg::winograd_bf16_offered(s.w, s.h, s.in, s.out, s.conv));
        for (const int threads : {1, 3}) {
            CHECK_NEAR(error_of(s, GGML_TYPE_BF16, threads, false), 0, 8e-3);
        }
    }
    dg::amx_disable(true);
    CHECK_NEAR(error_of(shapes[0], GGML_TYPE_BF16, 2, false), 0, 8e-3);
    dg::amx_disable(false);
    CHECK(!dg::winograd_bf16_offered(17, 32, 64, 64, {3, 1, 1}));
    CHECK(!dg::winograd_bf16_offered(32, 32, 64, 64, {3, 2, 1}));
    CHECK(!dg::winograd_bf16_offered(32, 32, 64, 64, {1, 1, 0}));
    CHECK(!dg::winograd_bf16_offered(8, 8, 64, 64, {3, 1, 1}));
}

// A picture packed with group norm and SiLU, or at twice its size, with everything that is added to the result, against
// ggml's own operations.
void check_fused(int64_t kW, int64_t kH, int64_t kIn = 40, int64_t kOut = 24) {
    constexpr int64_t kN  = 2;
    constexpr int kGroups = 4;
    ggml_init_params params{size_t{64} << 20, nullptr, false};
    ggml_context* ctx = ggml_init(params);
    REQUIRE(ctx != nullptr);
    unsigned seed     = 1;
    const auto tensor = [&](int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3) {
        ggml_tensor* t    = ggml_new_tensor_4d(ctx, GGML_TYPE_F32, ne0, ne1, ne2, ne3);
        const auto values = random_values(static_cast<size_t>(ggml_nelements(t)), seed++);
        std::memcpy(t->data, values.data(), ggml_nbytes(t));
        return t;
    };
    ggml_tensor* x    = tensor(kW, kH, kIn, kN);
    ggml_tensor* w    = tensor(1, 1, kIn, 1);
    ggml_tensor* b    = tensor(1, 1, kIn, 1);
    ggml_tensor* bias = tensor(kOut, 1, 1, 1);
    ggml_tensor* each = tensor(kOut, kN, 1, 1);
    std::vector<ggml_bf16_t> kernel(static_cast<size_t>(9 * kIn * kOut));
    const auto values = random_values(kernel.size(), seed++);
    ggml_fp32_to_bf16_row(values.data(), kernel.data(), static_cast<int64_t>(kernel.size()));
    ggml_tensor* packed = ggml_new_tensor_2d(ctx, GGML_TYPE_BF16, dg::conv_packed_columns(GGML_TYPE_BF16, 3, kIn),
                                             dg::conv_packed_rows(kOut));
    dg::conv_pack(kernel.data(), GGML_TYPE_BF16, 3, kIn, kOut, packed->data);
    const dg::ConvShape shape{3, 1, 1};

    ggml_tensor* stats = dg::group_stats(ctx, x, kGroups, 1e-5f);
    const dg::PictureNorm norm{stats, w, b, true};
    ggml_tensor* normed   = ggml_add(ctx, ggml_mul(ctx, ggml_group_norm(ctx, x, kGroups, 1e-5f), w), b);
    ggml_tensor* residual = tensor(kW, kH, kOut, kN);
    ggml_tensor* fused    = dg::conv_packed(ctx, dg::pack_picture(ctx, x, 1, &norm), kW, kH, kIn, packed, bias, kOut,
                                            shape, {each, residual}, false);
    ggml_tensor* plain    = dg::conv_direct(ctx, ggml_silu(ctx, normed), packed, bias, kOut, shape);
    plain                 = ggml_add(ctx, ggml_add(ctx, plain, ggml_reshape_4d(ctx, each, 1, 1, kOut, kN)), residual);

    ggml_tensor* doubled = dg::conv_packed(ctx, dg::pack_picture(ctx, x, 1, nullptr, true), 2 * kW, 2 * kH, kIn, packed,
                                           bias, kOut, shape, {}, false);
    ggml_tensor* large   = ggml_interpolate(ctx, x, 2 * kW, 2 * kH, kIn, kN, GGML_SCALE_MODE_NEAREST);
    ggml_tensor* enlarged = dg::conv_direct(ctx, large, packed, bias, kOut, shape);

    const std::pair<ggml_tensor*, ggml_tensor*> pairs[] = {{fused, plain}, {doubled, enlarged}};
    for (const auto& [got, want] : pairs) {
        ggml_cgraph* graph = ggml_new_graph(ctx);
        ggml_build_forward_expand(graph, got);
        ggml_build_forward_expand(graph, want);
        ggml_graph_compute_with_ctx(ctx, graph, 2);
        double difference = 0, square = 0;
        for (int64_t i = 0; i < ggml_nelements(want); i++) {
            const double y = static_cast<const float*>(want->data)[i];
            const double d = static_cast<const float*>(got->data)[i] - y;
            difference += d * d;
            square += y * y;
        }
        CHECK_NEAR(std::sqrt(difference / square), 0, dg::f32_products() ? 1e-5 : 1e-3);
    }
    ggml_free(ctx);
}

CASE("norm, SiLU and enlarging while packing, addends while storing") {
    if (dg::conv_takes_packed(GGML_TYPE_BF16)) {
        check_fused(18, 7);
        check_fused(16, 12);
        check_fused(16, 18, 64, 72);  // Winograd's filters
    }
}

CHECK_MAIN()
