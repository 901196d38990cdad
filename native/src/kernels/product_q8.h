// Products of Q8_0 weights with tokens in bytes, by AVX512_VNNI. An instruction makes four products in each lane; BF16 makes two.
// Tokens are bytes in blocks of 32 inputs, with a scale for each token and block, as in Q8_0's blocks. So the sum of a block is a
// sum of integers and exact. Weights of other quantized types become Q8_0 one panel at a time, which adds little to their error.
// For kernels/*.cpp only.
#pragma once

#include "kernels/q8_block.h"

#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)

#include <array>
#include <cstring>
#include <vector>

#include "ggml-cpu.h"
#include "ggml.h"

namespace dg {

// Two tiles of weight rows, with the scale and the offset of each of their blocks.
class Q8Rows {
public:
    explicit Q8Rows(const ggml_tensor* weight)
        : weight_(weight),
          blocks_(weight->ne[0] / kQ8Block),
          scales_(static_cast<size_t>(2 * kTile * blocks_)),
          offsets_(static_cast<size_t>(2 * kTile * blocks_)) {
        if (weight->type != GGML_TYPE_Q8_0) {
            wide_.resize(static_cast<size_t>(weight->ne[0]));
            narrowed_.resize(static_cast<size_t>(2 * kTile * blocks_ * kBytes));
        }
    }

    // Puts the sixteen rows from `first` on into a slot, 0 or 1.
    void load(int64_t first, int slot) {
        for (int64_t row = 0; row < kTile; row++) {
            const char* data                               = narrowed(first + row, slot * kTile + row);
            rows_[static_cast<size_t>(slot * kTile + row)] = data;
            for (int64_t b = 0; b < blocks_; b++, data += kBytes) {
                ggml_fp16_t half;
                std::memcpy(&half, data, sizeof half);
                const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data + sizeof half));
                const __m256i sums  = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), bytes);
                const size_t at     = index(slot, b, row);
                scales_[at]         = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
                offsets_[at]        = -kQ8Zero * _mm512_reduce_add_epi32(_mm512_zextsi256_si512(sums));
            }
        }
    }

    // Eight rows of the slots, from `row` on, times one or two groups of tokens: sums [row tile][2 groups][row][token].
    template <int Groups>
    void multiply(int row, const char* tokens, int64_t group_bytes, float* sums) const {
        constexpr int kRows = 8, kAtOnce = 4;
        __m512 acc[kRows][Groups];
        for (auto& of_row : acc) {
            for (__m512& a : of_row) {
                a = _mm512_setzero_ps();
            }
        }
        for (int64_t b = 0; b < blocks_; b++, tokens += kQ8TokenBlock) {
            const size_t at = index(row / kTile, b, row % kTile);
            for (int half = 0; half < kRows; half += kAtOnce) {
                __m512i sum[kAtOnce][Groups];
                for (int i = 0; i < kAtOnce; i++) {
                    for (int g = 0; g < Groups; g++) {
                        sum[i][g] = _mm512_set1_epi32(offsets_[at + static_cast<size_t>(half + i)]);
                    }
                }
                for (int64_t k = 0; k < kQ8Block; k += 4) {
                    __m512i v[Groups];
                    for (int g = 0; g < Groups; g++) {
                        v[g] = _mm512_loadu_si512(tokens + g * group_bytes + kTile * (4 + k));
                    }
                    for (int i = 0; i < kAtOnce; i++) {
                        int32_t w;
                        std::memcpy(&w, rows_[static_cast<size_t>(row + half + i)] + b * kBytes + 2 + k, sizeof w);
                        for (int g = 0; g < Groups; g++) {
                            sum[i][g] = _mm512_dpbusd_epi32(sum[i][g], v[g], _mm512_set1_epi32(w));
                        }
                    }
                }
                for (int g = 0; g < Groups; g++) {
                    const __m512 of_tokens = _mm512_loadu_ps(tokens + g * group_bytes);
                    for (int i = 0; i < kAtOnce; i++) {
                        const __m512 scale =
                            _mm512_mul_ps(of_tokens, _mm512_set1_ps(scales_[at + static_cast<size_t>(half + i)]));
                        acc[half + i][g] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[i][g]), scale, acc[half + i][g]);
                    }
                }
            }
        }
        for (int i = 0; i < kRows; i++) {
            for (int g = 0; g < Groups; g++) {
                float* tile = sums + ((row / kTile) * 2 + g) * kSumSize;
                _mm512_storeu_ps(tile + (row % kTile + i) * kTile, acc[i][g]);
            }
        }
    }

private:
    static constexpr int64_t kBytes = 2 + kQ8Block;  // ggml's block_q8_0: an F16 scale and 32 signed bytes

    // A row as Q8_0: in place, or made for one of the 32 rows of the slots.
    const char* narrowed(int64_t row, int64_t of_slots) {
        const char* data = static_cast<const char*>(weight_->data) + row * static_cast<int64_t>(weight_->nb[1]);
        if (narrowed_.empty()) {
            return data;
        }
        char* to = &narrowed_[static_cast<size_t>(of_slots * blocks_ * kBytes)];
        ggml_get_type_traits(weight_->type)->to_float(data, wide_.data(), weight_->ne[0]);
        ggml_get_type_traits_cpu(GGML_TYPE_Q8_0)->from_float(wide_.data(), to, weight_->ne[0]);
        return to;
    }

    size_t index(int slot, int64_t block, int64_t row) const {
        return static_cast<size_t>((slot * blocks_ + block) * kTile + row);
    }

    const ggml_tensor* weight_;
    int64_t blocks_;
    std::array<const char*, 2 * kTile> rows_{};
    std::vector<float> scales_;  // [slot][block][row]
    std::vector<int32_t> offsets_;  // [slot][block][row]: added to a block's sum, to take the tokens' 128 out
    std::vector<float> wide_;  // a row of another type
    std::vector<char> narrowed_;  // [slot][row], as Q8_0
};

}  // namespace dg

#endif
