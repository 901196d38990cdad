#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/matmul_f32.h"
#include "kernels/node.h"
#include "kernels/product_bf16.h"
#include "kernels/product_f32.h"
#include "kernels/product_q8.h"
#include "kernels/vecmath.h"

namespace dg {

bool matmul_offered(ggml_type type, int64_t in, int64_t out) {
    const bool any = f32_products(), narrow = bf16_products() && (type == GGML_TYPE_BF16 || ggml_is_quantized(type));
    return (any || narrow) && in % kTileDepth == 0 && out % kTile == 0;
}

namespace {

[[maybe_unused]] constexpr int64_t kChunk = 1 << 20;  // bytes of packed tokens that a core's second-level cache keeps

#if defined(__AVX512BF16__)

// Writes sums [row][token] as y[token][row], with the bias and the residual added.
void store(const float* sums, const float* bias, const float* residual, int64_t tokens, float* y, int64_t stride) {
    __m512i r[kTile];
    for (int i = 0; i < kTile; i++) {
        r[i] = _mm512_loadu_si512(sums + i * kTile);
    }
    transpose16(r);
    const __m512 add = bias != nullptr ? _mm512_loadu_ps(bias) : _mm512_setzero_ps();
    for (int64_t i = 0; i < tokens; i++) {
        __m512 v = _mm512_add_ps(_mm512_castsi512_ps(r[i]), add);
        if (residual != nullptr) {
            v = _mm512_add_ps(v, _mm512_loadu_ps(residual + i * stride));
        }
        _mm512_storeu_ps(y + i * stride, v);
    }
}

// Rows of a weight as BF16: in place where that is what it is, else widened block by block.
class Rows {
public:
    explicit Rows(const ggml_tensor* weight) : weight_(weight) {
        if (weight->type != GGML_TYPE_BF16) {
            wide_.resize(static_cast<size_t>(weight->ne[0]));
            rows_.resize(static_cast<size_t>(weight->ne[0] * 2 * kTile));
        }
    }

    // Sixteen rows from `first` on; they stay valid until the next call for the same slot, 0 or 1.
    const uint16_t* get(int64_t first, int slot) {
        const char* data = static_cast<const char*>(weight_->data) + first * static_cast<int64_t>(weight_->nb[1]);
        if (rows_.empty()) {
            return reinterpret_cast<const uint16_t*>(data);
        }
        const int64_t in = weight_->ne[0];
        uint16_t* begin  = &rows_[static_cast<size_t>(slot * kTile * in)];
        for (int64_t row = 0; row < kTile; row++, data += weight_->nb[1]) {
            uint16_t* out = begin + row * in;
            if (weight_->type == GGML_TYPE_Q8_0) {
                widen_q8_0(data, in, out);
                continue;
            }
            ggml_get_type_traits(weight_->type)->to_float(data, wide_.data(), in);
            for (int64_t k = 0; k < in; k += kTileDepth) {
                _mm512_storeu_si512(out + k, to_bf16(&wide_[static_cast<size_t>(k)]));
            }
        }
        return begin;
    }

private:
    // ggml's Q8_0: blocks of an F16 scale and 32 signed bytes.
    static void widen_q8_0(const char* block, int64_t in, uint16_t* out) {
        for (int64_t k = 0; k < in; k += 32, block += 34) {
            ggml_fp16_t half;
            std::memcpy(&half, block, sizeof half);
            const __m512 scale = _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(half)));
            const auto bytes   = [&](int at) {
                const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 2 + at));
                return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(b)), scale);
            };
            _mm512_storeu_si512(out + k, narrow(bytes(0), bytes(16)));
        }
    }

    const ggml_tensor* weight_;
    std::vector<float> wide_;
    std::vector<uint16_t> rows_;
};

// The two kinds of products, with one face: rows() puts the tiles of rows from `low` and, where it is not negative, `high` on
// in place, multiply() writes their sums with one or two groups of tokens, tiles [row tile][group], [row][token].

class Bf16Product {
public:
    Bf16Product(const ggml_tensor* packed, const ggml_tensor* weight)
        : packed_(packed),
          rows_(weight),
          scope_(amx_usable()),
          left_{{}, kTileDepth, 2 * weight->ne[0]} {}

    void rows(int64_t low, int64_t high) {
        left_.rows[0] = rows_.get(low, 0);
        left_.rows[1] = high < 0 ? nullptr : rows_.get(high, 1);
    }

    void multiply(int64_t group, int groups, float* sums) {
        const auto* tokens = static_cast<const uint16_t*>(packed_->data) + group * packed_->ne[0];
        dg::multiply(scope_.amx(), left_, {{tokens, groups == 2 ? tokens + packed_->ne[0] : nullptr}, kTileValues},
                     packed_->ne[0] / kTileValues, {sums, kTile, 2 * kSumSize, kSumSize, false});
    }

private:
    const ggml_tensor* packed_;
    Rows rows_;
    TileScope scope_;
    LeftTiles left_;
};

#if defined(__AVX512VNNI__)

class Q8Product {
public:
    Q8Product(const ggml_tensor* packed, const ggml_tensor* weight) : packed_(packed), rows_(weight) {}

    void rows(int64_t low, int64_t high) {
        rows_.load(low, 0);
        if (high >= 0) {
            rows_.load(high, 1);
        }
        row_tiles_ = high < 0 ? 1 : 2;
    }

    void multiply(int64_t group, int groups, float* sums) const {
        const auto group_bytes = static_cast<int64_t>(packed_->nb[1]);
        const char* tokens     = static_cast<const char*>(packed_->data) + group * group_bytes;
        for (int row = 0; row < row_tiles_ * kTile; row += 8) {
            groups == 2 ? rows_.multiply<2>(row, tokens, group_bytes, sums)
                        : rows_.multiply<1>(row, tokens, group_bytes, sums);
        }
    }

private:
    const ggml_tensor* packed_;
    Q8Rows rows_;
    int row_tiles_ = 2;
};

#endif

// How threads share a product out: units are a panel of rows times a chunk of tokens that stays in the cache, ordered by chunks.
class Shares {
public:
    Shares(int64_t groups, int64_t group_bytes, int64_t panels, int nth)
        : pairs_(ceil_div(groups, 2)),
          panels_(panels) {
        const int64_t fitting = std::max<int64_t>(1, kChunk / group_bytes / 2);
        // enough of them that every thread has work
        chunks_ = std::min(pairs_, std::max(ceil_div(pairs_, fitting), ceil_div(2 * nth, panels)));
    }

    // The first unit of the thread ith, as near as units allow to that fraction of the work: chunks differ by a pair of groups.
    int64_t begin(int ith, int nth) const {
        int64_t work = pairs_ * panels_ * ith / nth;
        for (int64_t chunk = 0; chunk < chunks_; chunk++) {
            const int64_t size = first_pair(chunk + 1) - first_pair(chunk);
            if (work < size * panels_) {
                return chunk * panels_ + (work + size / 2) / size;
            }
            work -= size * panels_;
        }
        return chunks_ * panels_;
    }
    int64_t panel(int64_t unit) const { return unit % panels_; }
    int64_t first_group(int64_t unit) const { return 2 * first_pair(unit / panels_); }
    int64_t end_group(int64_t unit) const { return 2 * first_pair(unit / panels_ + 1); }

private:
    int64_t first_pair(int64_t chunk) const { return pairs_ * chunk / chunks_; }

    int64_t pairs_, panels_, chunks_;
};

// The thread's share of all blocks of a product. A panel is two tiles of rows, the second `apart` rows after the first
// (none where that is past the end); panels begin `step` rows apart. finish(sums, row, row_tiles, group, groups) is given
// each block's sums.
template <typename Product, typename Finish>
void multiply_panels(const ggml_tensor* packed, const ggml_tensor* weight, int64_t panels, int64_t step, int64_t apart,
                     int ith, int nth, Finish finish) {
    const int64_t groups = packed->ne[1];
    const Shares shares(groups, static_cast<int64_t>(packed->nb[1]), panels, nth);
    Product product(packed, weight);
    alignas(64) float sums[4 * kSumSize];
    const int64_t end = shares.begin(ith + 1, nth);
    for (int64_t unit = shares.begin(ith, nth); unit < end; unit++) {
        const int64_t last = std::min(groups, shares.end_group(unit)), row = shares.panel(unit) * step;
        const bool two = row + apart < weight->ne[1];
        product.rows(row, two ? row + apart : -1);
        for (int64_t g = shares.first_group(unit); g < last; g += 2) {
            const int count = static_cast<int>(std::min<int64_t>(2, last - g));
            product.multiply(g, count, sums);
            finish(sums, row, two ? 2 : 1, g, count);
        }
    }
}

// The same by the kind of product that the tokens are packed for.
template <typename Finish>
void multiply_all(const ggml_tensor* packed, const ggml_tensor* weight, int64_t panels, int64_t step, int64_t apart,
                  int ith, int nth, Finish finish) {
#if defined(__AVX512VNNI__)
    if (packed->type == GGML_TYPE_I8) {
        multiply_panels<Q8Product>(packed, weight, panels, step, apart, ith, nth, finish);
        return;
    }
#endif
    multiply_panels<Bf16Product>(packed, weight, panels, step, apart, ith, nth, finish);
}

void run(ggml_tensor* dst, int ith, int nth, void*) {
    const ggml_tensor *packed = dst->src[0], *weight = dst->src[1];
    const float *bias = floats_of(dst->src[2]), *residual = floats_of(dst->src[3]);
    const int64_t out = weight->ne[1], tokens = ggml_nelements(dst) / out;
    auto* y = static_cast<float*>(dst->data);
    multiply_all(packed, weight, ceil_div(out, 2 * kTile), 2 * kTile, kTile, ith, nth,
                 [&](const float* sums, int64_t row, int64_t row_tiles, int64_t group, int64_t groups) {
                     for (int64_t r = 0; r < row_tiles; r++) {
                         for (int64_t h = 0; h < groups; h++) {
                             const int64_t token = (group + h) * kTile, at = row + r * kTile;
                             store(sums + (r * 2 + h) * kSumSize, bias != nullptr ? bias + at : nullptr,
                                   residual != nullptr ? residual + token * out + at : nullptr,
                                   std::min<int64_t>(kTile, tokens - token), y + token * out + at, out);
                         }
                     }
                 });
}

// Rows of sums are already in the order that packed tokens have: pairs of rows are pairs of the next layer's inputs.
void run_geglu(ggml_tensor* dst, int ith, int nth, void*) {
    const ggml_tensor* weight = dst->src[1];
    const float* bias         = floats_of(dst->src[2]);
    const int64_t half        = weight->ne[1] / 2;
    const auto value          = [&](const float* sums, int64_t row, int64_t i) {
        __m512 x = _mm512_load_ps(sums + i * kTile), gate = _mm512_load_ps(sums + 2 * kSumSize + i * kTile);
        if (bias != nullptr) {
            x    = _mm512_add_ps(x, _mm512_set1_ps(bias[row + i]));
            gate = _mm512_add_ps(gate, _mm512_set1_ps(bias[half + row + i]));
        }
        return _mm512_mul_ps(x, vec::gelu(gate));
    };
    multiply_all(dst->src[0], weight, half / kTile, kTile, half, ith, nth,
                 [&](const float* sums, int64_t row, int64_t, int64_t group, int64_t groups) {
                     for (int64_t h = 0; h < groups; h++) {
                         char* out = static_cast<char*>(dst->data) + (group + h) * static_cast<int64_t>(dst->nb[1]) +
                                     row * kTile * 2;
                         for (int64_t i = 0; i < kTile; i += 2, out += 64) {
                             _mm512_storeu_si512(out, pair_up(value(sums + h * kSumSize, row, i),
                                                              value(sums + h * kSumSize, row, i + 1)));
                         }
                     }
                 });
}

#else

// Never run: matmul_offered() is false.
void run(ggml_tensor*, int, int, void*) {}
void run_geglu(ggml_tensor*, int, int, void*) {}

#endif

}  // namespace

ggml_tensor* matmul_packed(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens, int64_t batch,
                           ggml_tensor* bias, ggml_tensor* residual) {
    const char* name = f32_products() ? kMatmulF32 : packed->type == GGML_TYPE_I8 ? kMatmulQ8 : kMatmulBf16;
    return custom_node(ctx, name, f32_products() ? multiply_f32 : run, GGML_TYPE_F32, {weight->ne[1], tokens, batch, 1},
                       {packed, weight, bias, residual});
}

ggml_tensor* matmul_geglu(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens,
                          ggml_tensor* bias) {
    const int64_t half = weight->ne[1] / 2;
    if (f32_products()) {
        return custom_node(ctx, kGegluF32, multiply_geglu_f32, GGML_TYPE_F32, {kBlock, packed->ne[1], half / kBlock, 1},
                           {packed, weight, bias}, static_cast<uintptr_t>(tokens));
    }
    return custom_node(ctx, packed->type == GGML_TYPE_I8 ? kGegluQ8 : kGegluBf16, run_geglu, GGML_TYPE_BF16,
                       {half * kTile, packed->ne[1], 1, 1}, {packed, weight, bias});
}

}  // namespace dg
