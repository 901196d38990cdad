#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "kernels/tiles.h"

namespace dg {

bool matmul_offered(ggml_type type, int64_t in, int64_t out) {
    return bf16_products() && (type == GGML_TYPE_BF16 || ggml_is_quantized(type)) && in % kTileDepth == 0 &&
           out % kTile == 0;
}

namespace {

// Which of a node's sources follow the packed tokens and the weight.
constexpr uintptr_t kHasBias = 1, kHasResidual = 2;

constexpr int64_t kPanel = 2 * kTile;  // rows of the weight, and tokens, of one block of products
constexpr int64_t kChunk = 1 << 20;    // bytes of packed tokens that a core's second-level cache keeps

int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

#if defined(__AVX512BF16__)

// One block of products: up to two tiles of weight rows times up to two groups of tokens, over all of `in`.
struct Block {
    const uint16_t* weight;  // [rows][in]
    const char* tokens;      // packed groups
    int64_t in;
    int row_tiles, groups;
};

constexpr int64_t kSumSize = kTile * kTile;  // of one tile of sums, [row][token]

#if defined(__AMX_BF16__)

template <bool TwoRows, bool TwoGroups>
void multiply_tiles(const Block& b, float* sums) {
    const uint16_t* low  = b.weight;
    const uint16_t* high = b.weight + kTile * b.in;
    const char* first    = b.tokens;
    const char* second   = b.tokens + b.in * kTile * 2;
    const int64_t row    = b.in * 2;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < b.in; k += kTileDepth) {
        _tile_loadd(4, low + k, row);
        _tile_loadd(6, first + k * kTile * 2, 64);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (TwoGroups) {
            _tile_loadd(7, second + k * kTile * 2, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (TwoRows) {
            _tile_loadd(5, high + k, row);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (TwoGroups) {
                _tile_dpbf16ps(3, 5, 7);
            }
        }
    }
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + kSumSize, 64);
    _tile_stored(2, sums + 2 * kSumSize, 64);
    _tile_stored(3, sums + 3 * kSumSize, 64);
}

#endif

// The same with vector registers: eight rows at a time against one or two groups.
template <int Groups>
void multiply_rows(const Block& b, int row, float* sums) {
    constexpr int kRows = 8;
    __m512 acc[kRows][Groups];
    for (auto& of_row : acc) {
        for (__m512& a : of_row) {
            a = _mm512_setzero_ps();
        }
    }
    const uint16_t* weight = b.weight + row * b.in;
    for (int64_t pair = 0; pair < b.in / 2; pair++) {
        __m512bh v[Groups];
        for (int g = 0; g < Groups; g++) {
            v[g] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b.tokens + g * b.in * kTile * 2 + pair * 64));
        }
        for (int i = 0; i < kRows; i++) {
            int32_t w;
            std::memcpy(&w, weight + i * b.in + 2 * pair, sizeof w);
            for (int g = 0; g < Groups; g++) {
                acc[i][g] = _mm512_dpbf16_ps(acc[i][g], reinterpret_cast<__m512bh>(_mm512_set1_epi32(w)), v[g]);
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

void multiply(const Block& b, bool amx, float* sums) {
#if defined(__AMX_BF16__)
    if (amx) {
        const bool two = b.groups == 2;
        if (b.row_tiles == 2) {
            two ? multiply_tiles<true, true>(b, sums) : multiply_tiles<true, false>(b, sums);
        } else {
            two ? multiply_tiles<false, true>(b, sums) : multiply_tiles<false, false>(b, sums);
        }
        return;
    }
#else
    static_cast<void>(amx);
#endif
    for (int row = 0; row < b.row_tiles * kTile; row += 8) {
        b.groups == 2 ? multiply_rows<2>(b, row, sums) : multiply_rows<1>(b, row, sums);
    }
}

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
            rows_.resize(static_cast<size_t>(weight->ne[0] * kPanel));
        }
    }

    const uint16_t* get(int64_t first, int64_t count) {
        const char* data = static_cast<const char*>(weight_->data) + first * static_cast<int64_t>(weight_->nb[1]);
        if (rows_.empty()) {
            return reinterpret_cast<const uint16_t*>(data);
        }
        const int64_t in = weight_->ne[0];
        for (int64_t row = 0; row < count; row++, data += weight_->nb[1]) {
            uint16_t* out = &rows_[static_cast<size_t>(row * in)];
            if (weight_->type == GGML_TYPE_Q8_0) {
                widen_q8_0(data, in, out);
                continue;
            }
            ggml_get_type_traits(weight_->type)->to_float(data, wide_.data(), in);
            for (int64_t k = 0; k < in; k += kTileDepth) {
                _mm512_storeu_si512(out + k, to_bf16(&wide_[static_cast<size_t>(k)]));
            }
        }
        return rows_.data();
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
            _mm512_storeu_si512(out + k, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(bytes(16), bytes(0))));
        }
    }

    const ggml_tensor* weight_;
    std::vector<float> wide_;
    std::vector<uint16_t> rows_;
};

void run(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const ggml_tensor* packed = dst->src[0];
    const ggml_tensor* weight = dst->src[1];
    const auto has            = reinterpret_cast<uintptr_t>(userdata);
    const float* bias         = (has & kHasBias) != 0 ? static_cast<const float*>(dst->src[2]->data) : nullptr;
    const float* residual     = nullptr;
    if ((has & kHasResidual) != 0) {
        residual = static_cast<const float*>(dst->src[bias != nullptr ? 3 : 2]->data);
    }
    const int64_t in = weight->ne[0], out = weight->ne[1], tokens = ggml_nelements(dst) / out;
    const int64_t groups = packed->ne[1], group_bytes = in * kTile * 2;
    const int64_t panels = ceil_div(out, kPanel);
    // Chunks of tokens that stay in the cache, and enough of them that every thread has work.
    const int64_t fitting = std::max<int64_t>(2, kChunk / group_bytes / 2 * 2);
    const int64_t wanted  = std::max(ceil_div(groups, fitting), ceil_div(2 * nth, panels));
    const int64_t chunk   = std::max<int64_t>(2, ceil_div(groups, wanted * 2) * 2);
    const int64_t units   = ceil_div(groups, chunk) * panels;
    const bool amx        = amx_usable();
#if defined(__AMX_BF16__)
    std::optional<TileScope> scope;
    if (amx) {
        scope.emplace();
    }
#endif
    Rows rows(weight);
    alignas(64) float sums[4 * kSumSize];
    auto* y = static_cast<float*>(dst->data);
    for (int64_t unit = units * ith / nth; unit < units * (ith + 1) / nth; unit++) {
        const int64_t first = unit / panels * chunk, last = std::min(groups, first + chunk);
        const int64_t row = unit % panels * kPanel, count = std::min(kPanel, out - row);
        Block block{rows.get(row, count), nullptr, in, static_cast<int>(count / kTile), 2};
        for (int64_t g = first; g < last; g += 2) {
            block.tokens = static_cast<const char*>(packed->data) + g * group_bytes;
            block.groups = static_cast<int>(std::min<int64_t>(2, last - g));
            multiply(block, amx, sums);
            for (int64_t r = 0; r < block.row_tiles; r++) {
                for (int64_t h = 0; h < block.groups; h++) {
                    const int64_t token = (g + h) * kTile, at = row + r * kTile;
                    store(sums + (r * 2 + h) * kSumSize, bias != nullptr ? bias + at : nullptr,
                          residual != nullptr ? residual + token * out + at : nullptr,
                          std::min<int64_t>(kTile, tokens - token), y + token * out + at, out);
                }
            }
        }
    }
}

#else

// Never run: matmul_offered() is false.
void run(ggml_tensor*, int, int, void*) {}

#endif

}  // namespace

ggml_tensor* matmul_packed(ggml_context* ctx, ggml_tensor* weight, ggml_tensor* packed, int64_t tokens, int64_t batch,
                           ggml_tensor* bias, ggml_tensor* residual) {
    ggml_tensor* args[4] = {packed, weight};
    int count            = 2;
    uintptr_t has        = 0;
    if (bias != nullptr) {
        args[count++] = bias;
        has |= kHasBias;
    }
    if (residual != nullptr) {
        args[count++] = residual;
        has |= kHasResidual;
    }
    return ggml_custom_4d(ctx, GGML_TYPE_F32, weight->ne[1], tokens, batch, 1, args, count, run, GGML_N_TASKS_MAX,
                          reinterpret_cast<void*>(has));
}

}  // namespace dg
