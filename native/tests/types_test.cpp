// Weight conversion: round trips, ggml's own rounding as the reference, refusals.

#include "model/types.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/error.h"
#include "check.h"

namespace {

std::vector<float> values(size_t n) {
    std::mt19937 generator(7);
    std::normal_distribution<float> normal(0, 3);
    std::vector<float> v(n);
    for (float& x : v) {
        x = normal(generator);
    }
    const float special[] = {0.0f,  -0.0f,  65504.0f,      70000.0f,
                             1e-7f, -6e-8f, 1.0009765625f, std::numeric_limits<float>::infinity()};
    std::copy(std::begin(special), std::end(special), v.begin());
    return v;
}

}  // namespace

CASE("every type of the ABI maps to ggml's and back") {
    for (int32_t type = DG_TYPE_AUTO + 1; type < DG_TYPE_COUNT; type++) {
        const ggml_type mapped = dg::to_ggml_type(type);
        CHECK(mapped != GGML_TYPE_COUNT);
        CHECK_EQ(dg::from_ggml_type(mapped), type);
    }
    CHECK_EQ(static_cast<int>(dg::to_ggml_type(DG_TYPE_AUTO)), static_cast<int>(GGML_TYPE_COUNT));
    CHECK_EQ(dg::from_ggml_type(GGML_TYPE_I32), static_cast<int32_t>(DG_TYPE_AUTO));
}

CASE("half types are rounded as ggml rounds them, for every length of tail") {
    for (const size_t n : {8, 16, 17, 31, 1000}) {
        const std::vector<float> x = values(n);
        std::vector<uint16_t> got(n), want(n);
        dg::convert_rows(x.data(), GGML_TYPE_F32, got.data(), GGML_TYPE_F16, 1, static_cast<int64_t>(n));
        for (size_t i = 0; i < n; i++) {
            want[i] = ggml_fp32_to_fp16(x[i]);
        }
        CHECK(got == want);
        dg::convert_rows(x.data(), GGML_TYPE_F32, got.data(), GGML_TYPE_BF16, 1, static_cast<int64_t>(n));
        for (size_t i = 0; i < n; i++) {
            want[i] = ggml_fp32_to_bf16(x[i]).bits;
        }
        CHECK(got == want);
    }
}

CASE("half to half goes through F32") {
    const std::vector<float> x = values(100);
    std::vector<uint16_t> half(100), brain(100);
    std::vector<float> back(100);
    dg::convert_rows(x.data(), GGML_TYPE_F32, half.data(), GGML_TYPE_F16, 10, 10);
    dg::convert_rows(half.data(), GGML_TYPE_F16, brain.data(), GGML_TYPE_BF16, 10, 10);
    dg::convert_rows(brain.data(), GGML_TYPE_BF16, back.data(), GGML_TYPE_F32, 10, 10);
    for (size_t i = 0; i < x.size(); i++) {
        if (std::isfinite(x[i]) && std::fabs(x[i]) < 60000) {
            CHECK_NEAR(back[i], x[i], std::fabs(x[i]) * 0.005 + 1e-7);
        }
    }
}

CASE("NaN stays NaN") {
    const std::vector<float> x(20, std::nanf(""));
    std::vector<uint16_t> brain(20);
    std::vector<float> back(20);
    dg::convert_rows(x.data(), GGML_TYPE_F32, brain.data(), GGML_TYPE_BF16, 1, 20);
    dg::convert_rows(brain.data(), GGML_TYPE_BF16, back.data(), GGML_TYPE_F32, 1, 20);
    for (const float v : back) {
        CHECK(std::isnan(v));
    }
}

CASE("quantized types come back near, also from half") {
    std::vector<float> x = values(512), back(512);
    x[7] = x[3] = 1.0f;
    std::vector<uint16_t> half(512);
    dg::convert_rows(x.data(), GGML_TYPE_F32, half.data(), GGML_TYPE_BF16, 2, 256);
    for (const ggml_type type : {GGML_TYPE_Q8_0, GGML_TYPE_Q5_1, GGML_TYPE_Q4_0, GGML_TYPE_Q6_K, GGML_TYPE_Q4_K}) {
        std::vector<uint8_t> q(ggml_row_size(type, 256) * 2);
        std::vector<float> bounded(x.begin() + 256, x.end());
        dg::convert_rows(bounded.data(), GGML_TYPE_F32, q.data(), type, 1, 256);
        dg::convert_rows(q.data(), type, back.data(), GGML_TYPE_F32, 1, 256);
        double error = 0, norm = 0;
        for (size_t i = 0; i < bounded.size(); i++) {
            error += std::pow(back[i] - bounded[i], 2.0);
            norm += std::pow(bounded[i], 2.0);
        }
        CHECK(std::sqrt(error / norm) < 0.15);
    }
}

CASE("types that need an importance matrix are refused") {
    std::vector<float> x = values(256);
    std::vector<uint8_t> q(4096);
    CHECK_THROWS(dg::convert_rows(x.data(), GGML_TYPE_F32, q.data(), GGML_TYPE_IQ2_XXS, 1, 256));
}

CHECK_MAIN()
