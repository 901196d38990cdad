// How the products of linear layers are computed: panels of a weight's rows times chunks of tokens, shared out to threads. For
// kernels/*.cpp only.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "ggml-cpu.h"
#include "ggml.h"
#include "kernels/product_bf16.h"
#include "kernels/product_q8.h"
#include "kernels/split.h"

#if defined(__AVX512BF16__)

namespace dg {

constexpr int64_t kChunk = 1 << 20;  // bytes of packed tokens that a core's second-level cache keeps

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

// The panels of a weight. A panel is two tiles of rows, the second `apart` rows after the first (none where that is past the
// end); panels begin `step` rows apart. A thread computes `together` panels of the same tokens one after the other.
struct Panels {
    int64_t count, step, apart, together = 1;
};

inline Panels pairs_of_tiles(const ggml_tensor* weight) {
    return {ceil_div(weight->ne[1], 2 * kTile), 2 * kTile, kTile};
}

// The thread's share of all blocks of a product. finish(sums, row, row_tiles, group, groups) is given each block's sums.
template <typename Product, typename Finish>
void multiply_panels(const ggml_tensor* packed, const ggml_tensor* weight, const Panels& panels, int ith, int nth,
                     Finish finish) {
    const int64_t groups = packed->ne[1];
    const Shares shares(groups, std::max<int64_t>(1, kChunk / static_cast<int64_t>(packed->nb[1]) / 2),
                        panels.count / panels.together, nth);
    Product product(packed, weight);
    alignas(64) float sums[4 * kSumSize];
    const int64_t end = shares.begin(ith + 1, nth);
    for (int64_t unit = shares.begin(ith, nth); unit < end; unit++) {
        const int64_t last = std::min(groups, shares.end_group(unit)), first = shares.panel(unit) * panels.together;
        for (int64_t panel = first; panel < first + panels.together; panel++) {
            const int64_t row = panel * panels.step;
            const bool two    = row + panels.apart < weight->ne[1];
            product.rows(row, two ? row + panels.apart : -1);
            for (int64_t g = shares.first_group(unit); g < last; g += 2) {
                const int count = static_cast<int>(std::min<int64_t>(2, last - g));
                product.multiply(g, count, sums);
                finish(sums, row, two ? 2 : 1, g, count);
            }
        }
    }
}

// The same by the kind of product that the tokens are packed for.
template <typename Finish>
void multiply_all(const ggml_tensor* packed, const ggml_tensor* weight, const Panels& panels, int ith, int nth,
                  Finish finish) {
#if defined(__AVX512VNNI__)
    if (packed->type == GGML_TYPE_I8) {
        multiply_panels<Q8Product>(packed, weight, panels, ith, nth, finish);
        return;
    }
#endif
    multiply_panels<Bf16Product>(packed, weight, panels, ith, nth, finish);
}

}  // namespace dg

#endif
