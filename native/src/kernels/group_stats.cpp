// Statistics of group norms: group_stats of kernels/pack_picture.h.

#include <cmath>
#include <cstring>

#include "kernels/named.h"
#include "kernels/pack_picture.h"
#include "kernels/simd.h"

namespace dg {

namespace {

#if defined(__AVX512F__)

constexpr int64_t kLanes = 16;

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

constexpr int64_t kLanes = 16;

// In lanes that a compiler can keep in registers.
template <typename Term>
float sum_over(const float* x, int64_t n, Term term) {
    float lanes[kLanes] = {};
    const int64_t whole = n / kLanes * kLanes;
    for (int64_t i = 0; i < whole; i += kLanes) {
        for (int64_t k = 0; k < kLanes; k++) {
            lanes[k] += term(x[i + k]);
        }
    }
    for (int64_t i = whole; i < n; i++) {
        lanes[i - whole] += term(x[i]);
    }
    for (int64_t step = kLanes / 2; step > 0; step /= 2) {
        for (int64_t k = 0; k < step; k++) {
            lanes[k] += lanes[k + step];
        }
    }
    return lanes[0];
}

float sum_of(const float* x, int64_t n) {
    return sum_over(x, n, [](float v) { return v; });
}

float squares_around(float mean, const float* x, int64_t n) {
    return sum_over(x, n, [mean](float v) { return (v - mean) * (v - mean); });
}

#endif

// Mean and sum of squared distances of n values, and those of a union (Chan, Golub and LeVeque, "Updating formulae and
// a pairwise algorithm for computing sample variances", 1979): one pass over memory, without cancellation.
struct Moments {
    double count = 0, mean = 0, square = 0;

    void add(const float* x, int64_t n) {
        const float m      = sum_of(x, n) / static_cast<float>(n);
        const double added = static_cast<double>(n), total = count + added, apart = static_cast<double>(m) - mean;
        square += static_cast<double>(squares_around(m, x, n)) + apart * apart * count * added / total;
        mean += apart * added / total;
        count = total;
    }
};

void find_stats(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const ggml_tensor* x = dst->src[0];
    const auto bits      = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(userdata));
    float eps;
    std::memcpy(&eps, &bits, sizeof eps);
    const int64_t groups = dst->ne[1], channels = x->ne[2] / groups;
    for (int64_t index = ith; index < groups * dst->ne[2]; index += nth) {
        const int64_t group = index % groups, image = index / groups;
        Moments moments;
        for (int64_t c = group * channels; c < (group + 1) * channels; c++) {
            for (int64_t y = 0; y < x->ne[1]; y++) {
                const char* row = static_cast<const char*>(x->data) + image * x->nb[3] + c * x->nb[2] + y * x->nb[1];
                moments.add(reinterpret_cast<const float*>(row), x->ne[0]);
            }
        }
        float* out = static_cast<float*>(dst->data) + 2 * index;
        out[0]     = static_cast<float>(moments.mean);
        out[1]     = static_cast<float>(1 / std::sqrt(moments.square / moments.count + static_cast<double>(eps)));
    }
}

}  // namespace

ggml_tensor* group_stats(ggml_context* ctx, ggml_tensor* x, int groups, float eps) {
    uint32_t bits;
    std::memcpy(&bits, &eps, sizeof bits);
    ggml_tensor* args[] = {x};
    return named(ggml_custom_4d(ctx, GGML_TYPE_F32, 2, groups, x->ne[3], 1, args, 1, find_stats, GGML_N_TASKS_MAX,
                                reinterpret_cast<void*>(static_cast<uintptr_t>(bits))),
                 kGroupMoments);
}

}  // namespace dg
