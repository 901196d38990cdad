#include "lora/rotate.h"

#include <algorithm>

#include "base/parallel.h"
#include "daguerre.h"

namespace dg {

namespace {

// The number of the feature that is this element of this block in a stage.
int64_t feature(int64_t stage, int64_t n, int64_t block, int64_t element) {
    if (stage == 0) {
        return block * n + element;
    }
    const int64_t apart = interleaved(stage), half = n / 2;
    return ((block / apart * 2 + element / half) * apart + block % apart) * half + element % half;
}

// Rotates a block of features: x += factor * D x. Each feature is a row of `width` values, and rows are `step` apart. With
// `transposed` D's transpose is used.
void rotate_block(const float* d, int64_t n, const std::vector<int64_t>& at, bool transposed, float factor, float* x,
                  int64_t step, int64_t width, std::vector<float>& before) {
    before.resize(static_cast<size_t>(n * width));
    for (int64_t e = 0; e < n; e++) {
        for (int64_t i = 0; i < width; i++) {
            before[static_cast<size_t>(e * width + i)] = x[at[static_cast<size_t>(e)] * step + i];
        }
    }
    for (int64_t o = 0; o < n; o++) {
        float* to = x + at[static_cast<size_t>(o)] * step;
        for (int64_t e = 0; e < n; e++) {
            const float f     = factor * (transposed ? d[e * n + o] : d[o * n + e]);
            const float* from = &before[static_cast<size_t>(e * width)];
            for (int64_t i = 0; i < width; i++) {
                to[i] += f * from[i];
            }
        }
    }
}

// Applies all stages, in order.
void rotate(const Change& c, bool transposed, float factor, float* x, int64_t step, int64_t width) {
    const int64_t stages = c.shape[0], blocks = c.shape[1], n = c.shape[2];
    std::vector<int64_t> at(static_cast<size_t>(n));
    std::vector<float> before;
    for (int64_t stage = 0; stage < stages; stage++) {
        for (int64_t block = 0; block < blocks; block++) {
            for (int64_t e = 0; e < n; e++) {
                at[static_cast<size_t>(e)] = feature(stage, n, block, e);
            }
            rotate_block(&c.a[static_cast<size_t>((stage * blocks + block) * n * n)], n, at, transposed, factor, x,
                         step, width, before);
        }
    }
}

}  // namespace

bool rotates_all(const int64_t* shape, int64_t features) {
    const int64_t stages = shape[0], blocks = shape[1], n = shape[2];
    if (n != shape[3] || features % n != 0 || features / n != blocks || stages > 32) {
        return false;
    }
    return stages == 1 || (n % 2 == 0 && blocks % interleaved(stages - 1) == 0);
}

void add_in_low_rank(const Change& c, const WeightShape& w, float factor, const std::vector<float>& base, float* out,
                     int32_t threads) {
    const int64_t area = w.kernel * w.kernel, n = w.fan_in();
    in_parallel(w.out, threads, [&](int64_t o) {
        std::vector<float> middle(static_cast<size_t>(area));
        for (int64_t r = 0; r < c.rank; r++) {
            std::fill(middle.begin(), middle.end(), 0.0f);
            for (int64_t j = 0; j < w.in; j++) {
                const float f = factor * c.b[static_cast<size_t>(j * c.rank + r)];
                for (int64_t p = 0; p < area; p++) {
                    middle[static_cast<size_t>(p)] += f * base[static_cast<size_t>(o * n + j * area + p)];
                }
            }
            for (int64_t i = 0; i < w.in; i++) {
                const float f = c.a[static_cast<size_t>(r * w.in + i)];
                for (int64_t p = 0; p < area; p++) {
                    out[o * n + i * area + p] += f * middle[static_cast<size_t>(p)];
                }
            }
        }
    });
}

void add_rotated(const Change& c, const WeightShape& w, float factor, const std::vector<float>& base, float* out,
                 int32_t threads) {
    const int64_t n          = w.fan_in();
    const bool outputs       = c.form == DG_LORA_OUT_ROTATE;
    std::vector<float> whole = base;
    if (outputs) {  // columns do not depend on each other: some at a time
        const int64_t width = 64;
        in_parallel((n + width - 1) / width, threads, [&](int64_t i) {
            rotate(c, false, factor, &whole[static_cast<size_t>(i * width)], n, std::min(width, n - i * width));
        });
    } else {
        in_parallel(w.out, threads, [&](int64_t o) { rotate(c, true, 1, &whole[static_cast<size_t>(o * n)], 1, 1); });
    }
    for (int64_t o = 0; o < w.out; o++) {
        const float rescale = c.b.empty() ? 0.0f : c.b[static_cast<size_t>(o)] * (outputs ? factor : 1);
        for (int64_t i = o * n; i < (o + 1) * n; i++) {
            const auto at      = static_cast<size_t>(i);
            const float change = whole[at] + rescale * whole[at] - base[at];
            out[i] += outputs ? change : factor * change;
        }
    }
}

}  // namespace dg
