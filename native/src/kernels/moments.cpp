#include "kernels/moments.h"

#include <algorithm>
#include <cmath>

#include "kernels/node.h"
#include "kernels/simd.h"

namespace dg {

namespace {

constexpr int64_t kLanes = 16;

// Sums that a compiler can keep in a register.
struct Lanes {
    float of[kLanes] = {};

    template <typename Term>
    Lanes(const float* x, int64_t n, Term term) {
        const int64_t whole = n / kLanes * kLanes;
#if defined(__AVX512F__)
        __m512 sum = _mm512_setzero_ps();
        for (int64_t i = 0; i < whole; i += kLanes) {
            sum += term(_mm512_loadu_ps(x + i));
        }
        _mm512_storeu_ps(of, sum);
#else
        for (int64_t i = 0; i < whole; i += kLanes) {
            for (int64_t k = 0; k < kLanes; k++) {
                of[k] += term(x[i + k]);
            }
        }
#endif
        for (int64_t i = whole; i < n; i++) {
            of[i - whole] += term(x[i]);
        }
    }

    float sum() {
        for (int64_t step = kLanes / 2; step > 0; step /= 2) {
            for (int64_t k = 0; k < step; k++) {
                of[k] += of[k + step];
            }
        }
        return of[0];
    }
};

#if defined(__AVX512F__)

// Rows of small pictures are shorter than a register: their rest is masked, not added one by one.
__mmask16 mask(int64_t left) {
    return static_cast<__mmask16>(left >= kLanes ? 0xffff : (1u << left) - 1);
}

float sum_of(const float* x, int64_t n) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += kLanes) {
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask(n - i), x + i));
    }
    return _mm512_reduce_add_ps(sum);
}

float squares_around(float mean, const float* x, int64_t n) {
    const __m512 centre = _mm512_set1_ps(mean);
    __m512 part         = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += kLanes) {
        const __m512 d = _mm512_maskz_sub_ps(mask(n - i), _mm512_maskz_loadu_ps(mask(n - i), x + i), centre);
        part           = _mm512_fmadd_ps(d, d, part);
    }
    return _mm512_reduce_add_ps(part);
}

#else

float sum_of(const float* x, int64_t n) {
    return Lanes(x, n, [](auto v) { return v; }).sum();
}

float squares_around(float mean, const float* x, int64_t n) {
    return Lanes(x, n, [mean](auto v) { return (v - mean) * (v - mean); }).sum();
}

#endif

// Mean and sum of squared distances of n values, and those of a union (Chan, Golub and LeVeque, "Updating formulae and
// a pairwise algorithm for computing sample variances", 1979): one pass over memory, without cancellation.
struct Moments {
    double count = 0, mean = 0, square = 0;

    void add(const float* x, int64_t n) {
        const float m       = sum_of(x, n) / static_cast<float>(n);
        const float squares = squares_around(m, x, n);
        const double added = static_cast<double>(n), total = count + added, apart = static_cast<double>(m) - mean;
        square += static_cast<double>(squares) + apart * apart * count * added / total;
        mean += apart * added / total;
        count = total;
    }
};

void find_stats(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const ggml_tensor* x = dst->src[0];
    const double eps     = static_cast<double>(number_of(userdata));
    const int64_t groups = dst->ne[1], channels = x->ne[2] / groups;
    for (int64_t index = ith; index < groups * dst->ne[2]; index += nth) {
        const int64_t group = index % groups, image = index / groups;
        Moments moments;
        for (int64_t c = group * channels; c < (group + 1) * channels; c++) {
            for (int64_t y = 0; y < x->ne[1]; y++) {
                moments.add(row_of(x, y, c, image), x->ne[0]);
            }
        }
        float* out = static_cast<float*>(dst->data) + 2 * index;
        out[0]     = static_cast<float>(moments.mean);
        out[1]     = static_cast<float>(1 / std::sqrt(moments.square / moments.count + eps));
    }
}

void run(ggml_tensor* dst, int ith, int nth, void*) {
    const ggml_tensor* x = dst->src[0];
    const int64_t groups = dst->ne[1], per = x->ne[2] / groups;
    const double count = static_cast<double>(x->ne[0] * x->ne[1] * per);
    for (int64_t group = ith; group < groups; group += nth) {
        double sum = 0, square = 0;
        for (int64_t row = 0; row < per * x->ne[1]; row++) {
            const float* from  = row_of(x, row % x->ne[1], group * per + row / x->ne[1], 0);
            const Lanes values = Lanes(from, x->ne[0], [](auto v) { return v; });
            const Lanes squares(from, x->ne[0], [](auto v) { return v * v; });
            for (int64_t k = 0; k < kLanes; k++) {
                sum += static_cast<double>(values.of[k]);
                square += static_cast<double>(squares.of[k]);
            }
        }
        const double mean = sum / count;
        float* out        = static_cast<float*>(dst->data) + 2 * group;
        out[0]            = static_cast<float>(mean);
        out[1]            = static_cast<float>(std::max(square / count - mean * mean, 0.0));
    }
}

}  // namespace

ggml_tensor* find_moments(ggml_context* ctx, ggml_tensor* x, int groups) {
    return custom_node(ctx, kGroupMoments, run, GGML_TYPE_F32, {2, groups, 1, 1}, {x});
}

ggml_tensor* group_stats(ggml_context* ctx, ggml_tensor* x, int groups, float eps) {
    return custom_node(ctx, kGroupMoments, find_stats, GGML_TYPE_F32, {2, groups, x->ne[3], 1}, {x}, userdata_of(eps));
}

}  // namespace dg
