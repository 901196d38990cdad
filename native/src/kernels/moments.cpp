#include "kernels/moments.h"

#include <algorithm>

#include "kernels/named.h"

namespace dg {

namespace {

constexpr int64_t kLanes = 16;

// Adds the sum and the sum of squares of a row, in lanes that a compiler can keep in a register.
void add_row(const float* x, int64_t n, double* sum, double* square) {
    float s[kLanes] = {}, q[kLanes] = {};
    const int64_t whole = n / kLanes * kLanes;
    for (int64_t i = 0; i < whole; i += kLanes) {
        for (int64_t k = 0; k < kLanes; k++) {
            s[k] += x[i + k];
            q[k] += x[i + k] * x[i + k];
        }
    }
    for (int64_t i = whole; i < n; i++) {
        s[i - whole] += x[i];
        q[i - whole] += x[i] * x[i];
    }
    for (int64_t k = 0; k < kLanes; k++) {
        *sum += static_cast<double>(s[k]);
        *square += static_cast<double>(q[k]);
    }
}

void run(ggml_tensor* dst, int ith, int nth, void*) {
    const ggml_tensor* x = dst->src[0];
    const int64_t groups = dst->ne[1], per = x->ne[2] / groups;
    const double count = static_cast<double>(x->ne[0] * x->ne[1] * per);
    for (int64_t group = ith; group < groups; group += nth) {
        double sum = 0, square = 0;
        for (int64_t row = 0; row < per * x->ne[1]; row++) {
            const auto at = static_cast<size_t>(group * per + row / x->ne[1]) * x->nb[2] +
                            static_cast<size_t>(row % x->ne[1]) * x->nb[1];
            add_row(reinterpret_cast<const float*>(static_cast<const char*>(x->data) + at), x->ne[0], &sum, &square);
        }
        const double mean = sum / count;
        float* out        = static_cast<float*>(dst->data) + 2 * group;
        out[0]            = static_cast<float>(mean);
        out[1]            = static_cast<float>(std::max(square / count - mean * mean, 0.0));
    }
}

}  // namespace

ggml_tensor* find_moments(ggml_context* ctx, ggml_tensor* x, int groups) {
    ggml_tensor* args[] = {x};
    return named(ggml_custom_4d(ctx, GGML_TYPE_F32, 2, groups, 1, 1, args, 1, run, GGML_N_TASKS_MAX, nullptr),
                 kGroupMoments);
}

}  // namespace dg
