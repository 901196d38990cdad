#include "kernels/matmul_f32.h"

#include <cstring>

#include "kernels/node.h"
#include "kernels/product_f32.h"
#include "kernels/vecmath.h"

namespace dg {

#if defined(DG_F32_PRODUCTS)

namespace {

constexpr int64_t kMatmulSlice = 8;  // blocks of inputs: 256, the blocks of K quantization

// Writes eight rows' next eight values, r[row], as to[value][row].
void put(Floats r[8], float* to) {
    transpose8(r);
    for (int i = 0; i < 8; i++) {
        vec::store(to + i * kPanel, r[i]);
    }
}

template <ggml_type Type>
void widen_floats(const char* rows, size_t stride, int64_t first, int64_t n, float* to) {
    for (int64_t k = 0; k < n; k += 8) {
        Floats r[8];
        for (size_t i = 0; i < 8; i++) {
            r[i] = load8<Type>(rows + i * stride, first + k);
        }
        put(r, to + k * kPanel);
    }
}

// ggml's Q8_0: blocks of an F16 scale and 32 signed bytes.
void widen_q8_0(const char* rows, size_t stride, int64_t first, int64_t n, float* to) {
    constexpr int64_t kSize = 34;
    for (int64_t k = 0; k < n; k += 32) {
        const char* block = rows + (first + k) / 32 * kSize;
        Floats scale[8];
        for (size_t i = 0; i < 8; i++) {
            uint16_t half;
            std::memcpy(&half, block + i * stride, sizeof half);
            scale[i] = all_of_half(half);
        }
        for (int64_t q = 0; q < 32; q += 8) {
            Floats r[8];
            for (size_t i = 0; i < 8; i++) {
                r[i] = load8_bytes(block + i * stride + 2 + q) * scale[i];
            }
            put(r, to + (k + q) * kPanel);
        }
    }
}

// Any other type, by ggml's own conversion.
void widen_quantized(ggml_type type, const char* rows, size_t stride, int64_t first, int64_t n, float* to) {
    float wide[8][kMatmulSlice * kBlock];
    for (size_t i = 0; i < 8; i++) {
        ggml_get_type_traits(type)->to_float(rows + i * stride + ggml_row_size(type, first), wide[i], n);
    }
    widen_floats<GGML_TYPE_F32>(reinterpret_cast<const char*>(wide), sizeof wide[0], 0, n, to);
}

// Asks for what the next slice reads: sixteen short pieces, which the hardware does not foresee.
void prefetch(const ggml_tensor* weight, const char* rows, int64_t first, int64_t n) {
    if (first >= weight->ne[0]) {
        return;
    }
    const size_t begin = ggml_row_size(weight->type, first);
    const size_t end   = std::min(weight->nb[1], begin + ggml_row_size(weight->type, n));
    for (size_t i = 0; i < 8; i++) {
        for (size_t at = begin; at < end; at += 64) {
            __builtin_prefetch(rows + i * weight->nb[1] + at, 0, 2);
        }
    }
}

// Inputs [first, first + n) of the weight's sixteen rows from `row` on, as to[input][row].
void widen(const ggml_tensor* weight, int64_t row, int64_t first, int64_t n, float* to) {
    const size_t stride = weight->nb[1];
    for (int64_t half = 0; half < kPanel; half += 8, to += 8) {
        const char* rows = static_cast<const char*>(weight->data) + static_cast<size_t>(row + half) * stride;
        prefetch(weight, rows, first + n, n);
        switch (weight->type) {
            case GGML_TYPE_F32: widen_floats<GGML_TYPE_F32>(rows, stride, first, n, to); break;
            case GGML_TYPE_F16: widen_floats<GGML_TYPE_F16>(rows, stride, first, n, to); break;
            case GGML_TYPE_BF16: widen_floats<GGML_TYPE_BF16>(rows, stride, first, n, to); break;
            case GGML_TYPE_Q8_0: widen_q8_0(rows, stride, first, n, to); break;
            default: widen_quantized(weight->type, rows, stride, first, n, to); break;
        }
    }
}

// finish(first row of the weight, first token, tokens, sums).
template <typename Finish>
void multiply(const ggml_tensor* packed, int64_t tokens, const ggml_tensor* weight, int64_t panels, int passes, int ith,
              int nth, Finish finish) {
    std::vector<Step> steps;
    for (int64_t b = 0; b < packed->ne[2]; b++) {
        steps.push_back({b * packed->ne[1] * kBlock, static_cast<int32_t>(kBlock)});
    }
    multiply_all(
        Units(tokens, panels, nth), ith, nth, static_cast<const float*>(packed->data), steps, kMatmulSlice, passes,
        panels, [](int64_t row) { return row * kBlock; },
        [&](int64_t panel, int64_t step, int64_t n, float* to) {
            widen(weight, panel * kPanel, step * kBlock, n * kBlock, to);
        },
        [&](int64_t panel, int64_t first, int64_t count, const float* sums) {
            finish(panel * kPanel, first, count, sums);
        });
}

Floats load_or_zero(const float* from, int64_t at) {
    return from != nullptr ? vec::load(from + at) : vec::all(0);
}

}  // namespace

void multiply_f32(ggml_tensor* dst, int ith, int nth, void*) {
    const ggml_tensor* weight = dst->src[1];
    const float *bias = floats_of(dst->src[2]), *residual = floats_of(dst->src[3]);
    const int64_t out = weight->ne[1];
    multiply(dst->src[0], ggml_nelements(dst) / out, weight, out / kPanel, 1, ith, nth,
             [&](int64_t row, int64_t first, int64_t count, const float* sums) {
                 const Floats low = load_or_zero(bias, row), high = load_or_zero(bias, row + 8);
                 for (int64_t i = 0; i < count; i++, sums += kPanel) {
                     const int64_t at = (first + i) * out + row;
                     Floats a = vec::load(sums) + low, b = vec::load(sums + 8) + high;
                     if (residual != nullptr) {
                         a = a + vec::load(residual + at);
                         b = b + vec::load(residual + at + 8);
                     }
                     vec::store(static_cast<float*>(dst->data) + at, a);
                     vec::store(static_cast<float*>(dst->data) + at + 8, b);
                 }
             });
}

void multiply_geglu_f32(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const ggml_tensor* weight = dst->src[1];
    const float* bias         = floats_of(dst->src[2]);
    const auto tokens         = static_cast<int64_t>(reinterpret_cast<uintptr_t>(userdata));
    const int64_t half        = weight->ne[1] / 2;
    multiply(dst->src[0], tokens, weight, half / kPanel, 2, ith, nth,
             [&](int64_t row, int64_t first, int64_t count, const float* sums) {
                 float* out =
                     static_cast<float*>(dst->data) + (row / kBlock * dst->ne[1] + first) * kBlock + row % kBlock;
                 const float* gates = sums + count * kPanel;
                 for (int64_t k = 0; k < kPanel; k += 8) {
                     const Floats b0 = load_or_zero(bias, row + k), b1 = load_or_zero(bias, half + row + k);
                     for (int64_t i = 0; i < count; i++) {
                         const Floats x = vec::load(sums + i * kPanel + k) + b0;
                         const Floats g = vec::load(gates + i * kPanel + k) + b1;
                         vec::store(out + i * kBlock + k, x * vec::gelu(g));
                     }
                 }
             });
}

#else

// Never run: f32_products() is false.
void multiply_f32(ggml_tensor*, int, int, void*) {}
void multiply_geglu_f32(ggml_tensor*, int, int, void*) {}

#endif

}  // namespace dg
