#include "kernels/conv2d_f32.h"

#include <cstring>

#include "kernels/conv_problem_f32.h"
#include "kernels/named.h"
#include "kernels/winograd_f32.h"

namespace dg {

// T is the element's storage.
template <typename T>
static void pack_typed(const T* weights, int64_t taps, int64_t in, int64_t out, T* packed) {
    std::memset(packed, 0, static_cast<size_t>(conv_packed_rows(out) * taps * in) * sizeof(T));
    for (int64_t o = 0; o < out; o++) {
        T* panel = packed + o / kPanel * kPanel * taps * in + o % kPanel;
        for (int64_t c = 0; c < in; c++) {
            const int64_t first = c / kBlock * kBlock, depth = std::min(kBlock, in - first);
            T* to = panel + (first * taps + c - first) * kPanel;
            for (int64_t tap = 0; tap < taps; tap++) {
                to[tap * depth * kPanel] = weights[(o * in + c) * taps + tap];
            }
        }
    }
}

void conv_f32_pack(const void* weights, ggml_type type, int64_t kernel, int64_t in, int64_t out, void* packed) {
    if (type == GGML_TYPE_F32) {
        pack_typed(static_cast<const uint32_t*>(weights), kernel * kernel, in, out, static_cast<uint32_t*>(packed));
    } else {
        pack_typed(static_cast<const uint16_t*>(weights), kernel * kernel, in, out, static_cast<uint16_t*>(packed));
    }
}

namespace {

#if defined(DG_F32_PRODUCTS)

template <ggml_type Type>
void widen_floats(const void* from, int64_t at, int64_t n, float* to) {
    for (int64_t i = 0; i < n; i += 8) {
        _mm256_storeu_ps(to + i, load8<Type>(from, at + i));
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
void store8(const ConvProblem& p, int64_t image, int64_t pixel, int64_t channel, const float* sums) {
    __m256 r[8];
    for (int i = 0; i < 8; i++) {
        r[i] = _mm256_loadu_ps(sums + i * kPanel);
    }
    transpose8(r);
    const int64_t count = std::min<int64_t>(8, p.dst->ne[2] - channel);
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = (image * p.dst->ne[2] + channel + i) * p.pixels + pixel;
        __m256 v         = _mm256_add_ps(r[i], _mm256_set1_ps(p.added_to(channel + i, image)));
        if (p.residual != nullptr) {
            v = _mm256_add_ps(v, _mm256_loadu_ps(p.residual + at));
        }
        _mm256_storeu_ps(static_cast<float*>(p.dst->data) + at, v);
    }
}

void store1(const ConvProblem& p, int64_t image, int64_t pixel, int64_t channel, const float* sums) {
    const int64_t count = std::min(kPanel, p.dst->ne[2] - channel);
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = (image * p.dst->ne[2] + channel + i) * p.pixels + pixel;
        static_cast<float*>(p.dst->data)[at] =
            sums[i] + p.added_to(channel + i, image) + (p.residual != nullptr ? p.residual[at] : 0.0f);
    }
}

void store(const ConvProblem& p, int64_t panel, int64_t first, int64_t count, const float* sums) {
    const int64_t channel = panel * kPanel;
    for (int64_t i = 0; i < count;) {
        const int64_t image = (first + i) / p.pixels, pixel = (first + i) % p.pixels;
        if (count - i < 8 || p.pixels - pixel < 8) {
            store1(p, image, pixel, channel, sums + i * kPanel);
            i++;
            continue;
        }
        store8(p, image, pixel, channel, sums + i * kPanel);
        if (channel + 8 < p.dst->ne[2]) {
            store8(p, image, pixel, channel + 8, sums + i * kPanel + 8);
        }
        i += 8;
    }
}

void convolve(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const ConvProblem p(dst, userdata);
    const std::vector<Step> steps = p.steps();
    std::vector<int64_t> begins;  // of each step in a packed panel, in elements
    int64_t size = 0;
    for (const Step& s : steps) {
        begins.push_back(size);
        size += s.depth * kPanel;
    }
    begins.push_back(size);
    multiply_all(
        Units(p.rows(), blocks_of(dst->ne[2], kPanel), nth), ith, nth, p.picture, steps, kSlice, 1, 0,
        [&](int64_t row) { return p.row_of(row); },
        [&](int64_t panel, int64_t step, int64_t n, float* to) {
            const int64_t begin = begins[static_cast<size_t>(step)], end = begins[static_cast<size_t>(step + n)];
            widen(p.weights, panel * size + begin, end - begin, to);
        },
        [&](int64_t panel, int64_t first, int64_t count, const float* sums) { store(p, panel, first, count, sums); });
}

#else

// Never run: f32_products() is false.
void convolve(ggml_tensor*, int, int, void*) {}

#endif

}  // namespace

ggml_tensor* conv_f32(ggml_context* ctx, ggml_tensor* picture, int64_t width, int64_t height, int64_t in,
                      ggml_tensor* packed, ggml_tensor* bias, int64_t out, const ConvShape& shape,
                      const ConvAddends& addends, bool exact) {
    const int64_t out_width  = (width + 2 * shape.pad - shape.kernel) / shape.stride + 1;
    const int64_t out_height = (height + 2 * shape.pad - shape.kernel) / shape.stride + 1;
    const int64_t batch      = picture->ne[2] / blocks_of(in, kBlock);
    ggml_tensor* args[5]     = {picture, packed, bias};
    int count                = 3;
    uintptr_t bits           = static_cast<uintptr_t>(shape.kernel) | static_cast<uintptr_t>(shape.stride) << 8 |
                     static_cast<uintptr_t>(shape.pad) << 16 | static_cast<uintptr_t>(width + 2 * shape.pad) << 32;
    if (addends.per_picture != nullptr) {
        args[count++] = addends.per_picture;
        bits |= kHasPerPicture;
    }
    if (addends.residual != nullptr) {
        args[count++] = addends.residual;
        bits |= kHasResidual;
    }
    const bool winograd = !exact && winograd_offered(width, height, batch, in, out, shape);
    return named(
        ggml_custom_4d(ctx, GGML_TYPE_F32, out_width, out_height, out, batch, args, count,
                       winograd ? winograd_convolve : convolve, GGML_N_TASKS_MAX, reinterpret_cast<void*>(bits)),
        winograd ? kWinograd : kConv2d);
}

}  // namespace dg
