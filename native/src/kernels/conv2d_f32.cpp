#include "kernels/conv_problem_f32.h"

namespace dg {

#if defined(DG_F32_PRODUCTS)

namespace {

template <ggml_type Type>
void widen_floats(const void* from, int64_t at, int64_t n, float* to) {
    for (int64_t i = 0; i < n; i += 8) {
        vec::store(to + i, load8<Type>(from, at + i));
    }
}

void widen(const ggml_tensor* weights, int64_t at, int64_t n, float* to) {
    switch (weights->type) {
        case GGML_TYPE_F16: widen_floats<GGML_TYPE_F16>(weights->data, at, n, to); break;
        case GGML_TYPE_BF16: widen_floats<GGML_TYPE_BF16>(weights->data, at, n, to); break;
        default: widen_floats<GGML_TYPE_F32>(weights->data, at, n, to); break;
    }
}

// Writes the sums of eight rows that are neighbouring pixels of one picture, for the eight channels from `channel` on.
void store8(const F32Problem& p, int64_t image, int64_t pixel, int64_t channel, const float* sums) {
    Floats r[8];
    for (int i = 0; i < 8; i++) {
        r[i] = vec::load(sums + i * kPanel);
    }
    transpose8(r);
    const int64_t count = std::min<int64_t>(8, p.out - channel);
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = (image * p.out + channel + i) * p.pixels + pixel;
        Floats v         = r[i] + vec::all(p.added_to(channel + i, image));
        if (p.residual != nullptr) {
            v = v + vec::load(p.residual + at);
        }
        vec::store(p.y + at, v);
    }
}

void store1(const F32Problem& p, int64_t image, int64_t pixel, int64_t channel, const float* sums) {
    const int64_t count = std::min(kPanel, p.out - channel);
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = (image * p.out + channel + i) * p.pixels + pixel;
        p.y[at]          = sums[i] + p.added_to(channel + i, image) + (p.residual != nullptr ? p.residual[at] : 0.0f);
    }
}

void store(const F32Problem& p, int64_t panel, int64_t first, int64_t count, const float* sums) {
    const int64_t channel = panel * kPanel;
    for (int64_t i = 0; i < count;) {
        const int64_t image = (first + i) / p.pixels, pixel = (first + i) % p.pixels;
        if (count - i < 8 || p.pixels - pixel < 8) {
            store1(p, image, pixel, channel, sums + i * kPanel);
            i++;
            continue;
        }
        store8(p, image, pixel, channel, sums + i * kPanel);
        if (channel + 8 < p.out) {
            store8(p, image, pixel, channel + 8, sums + i * kPanel + 8);
        }
        i += 8;
    }
}

}  // namespace

void convolve_f32(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const F32Problem p(dst, userdata);
    const std::vector<Step> steps = p.steps();
    std::vector<int64_t> begins;  // of each step in a packed panel, in elements
    int64_t size = 0;
    for (const Step& s : steps) {
        begins.push_back(size);
        size += s.depth * kPanel;
    }
    begins.push_back(size);
    multiply_all(
        Units(p.rows(), ceil_div(p.out, kPanel), nth), ith, nth, p.values, steps, kSlice, 1, 0,
        [&](int64_t row) { return p.row_of(row); },
        [&](int64_t panel, int64_t step, int64_t n, float* to) {
            const int64_t begin = begins[static_cast<size_t>(step)], end = begins[static_cast<size_t>(step + n)];
            widen(p.weights, panel * size + begin, end - begin, to);
        },
        [&](int64_t panel, int64_t first, int64_t count, const float* sums) { store(p, panel, first, count, sums); });
}

#else

void convolve_f32(ggml_tensor*, int, int, void*) {}

#endif

}  // namespace dg
