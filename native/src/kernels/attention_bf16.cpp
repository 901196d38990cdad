#include "kernels/attention_bf16.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "kernels/named.h"
#include "kernels/tiles.h"
#include "kernels/vecmath.h"

namespace dg {

bool attention_offered(int64_t head_size) {
    return bf16_products() && head_size % kTileDepth == 0;
}

namespace {

#if defined(__AVX512BF16__)

constexpr int64_t kTileValues = int64_t{kTile} * kTileDepth;  // BF16 values of a tile
constexpr int64_t kSumSize    = int64_t{kTile} * kTile;

const float* row_of(const ggml_tensor* x, int64_t token, int64_t image) {
    return reinterpret_cast<const float*>(static_cast<const char*>(x->data) + token * x->nb[1] + image * x->nb[2]);
}

// Keys: groups of 16 of one image, each [C / 2][key][pair of values].
void pack_keys(ggml_tensor* dst, int ith, int nth, void*) {
    const ggml_tensor* k = dst->src[0];
    for (int64_t index = ith; index < dst->ne[1] * dst->ne[2]; index += nth) {
        const int64_t group = index % dst->ne[1], image = index / dst->ne[1];
        auto* out = static_cast<uint16_t*>(dst->data) + index * dst->ne[0];
        for (int64_t c = 0; c < k->ne[0]; c += kTileDepth, out += kTileValues) {
            __m512i r[kTile];
            for (int64_t i = 0; i < kTile; i++) {
                const int64_t token = group * kTile + i;
                r[i]                = token < k->ne[1] ? to_bf16(row_of(k, token, image) + c) : _mm512_setzero_si512();
            }
            transpose16(r);
            for (int64_t i = 0; i < kTile; i++) {
                _mm512_storeu_si512(out + i * kTileDepth, r[i]);
            }
        }
    }
}

// Values: groups of 32 keys of one image, each [C / 16][pair of keys][16 values][key of the pair].
void pack_values(ggml_tensor* dst, int ith, int nth, void*) {
    const ggml_tensor* v = dst->src[0];
    for (int64_t index = ith; index < dst->ne[1] * dst->ne[2]; index += nth) {
        const int64_t group = index % dst->ne[1], image = index / dst->ne[1];
        auto* out = static_cast<uint16_t*>(dst->data) + index * dst->ne[0];
        for (int64_t c = 0; c < v->ne[0]; c += kTile) {
            for (int64_t pair = 0; pair < kTile; pair++, out += kTileDepth) {
                const int64_t token = group * kTileDepth + 2 * pair;
                const auto load     = [&](int64_t t) {
                    return t < v->ne[1] ? _mm512_loadu_ps(row_of(v, t, image) + c) : _mm512_setzero_ps();
                };
                _mm512_storeu_si512(out, pair_up(load(token), load(token + 1)));
            }
        }
    }
}

struct Problem {
    const ggml_tensor *q, *keys, *values, *mask;
    ggml_tensor* dst;
    int64_t heads, size, tokens;  // size of a head, number of keys
    int64_t score_stride, weight_stride;
    float scale;
    bool amx;
};

// A thread's working memory. Rows are a little longer than needed so that sixteen of them do not fall into one set of
// the cache.
struct Scratch {
    std::vector<uint16_t> queries;  // tiles [row tile][depth tile]
    std::vector<float> scores;      // [row][score_stride]
    std::vector<uint16_t> weights;  // of the softmax, not yet divided by their sum: [row][weight_stride]
    float sums[2 * kTile];
    alignas(64) float out[4 * kSumSize];
};

void load_queries(const Problem& p, int64_t image, int64_t head, int64_t first, int64_t rows, Scratch& s) {
    const __m512 scale = _mm512_set1_ps(p.scale);
    for (int64_t i = 0; i < ceil_div(rows, kTile) * kTile; i++) {
        for (int64_t c = 0; c < p.size; c += kTileDepth) {
            __m512i v = _mm512_setzero_si512();
            if (i < rows) {
                const float* x = row_of(p.q, first + i, image) + head * p.size + c;
                v = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_mul_ps(_mm512_loadu_ps(x + kTile), scale),
                                                                  _mm512_mul_ps(_mm512_loadu_ps(x), scale)));
            }
            const int64_t tile = i / kTile * (p.size / kTileDepth) + c / kTileDepth;
            _mm512_storeu_si512(&s.queries[static_cast<size_t>(tile * kTileValues + i % kTile * kTileDepth)], v);
        }
    }
}

// One or two rows of tiles of a left factor, `down` values apart; steps are `step` values apart, lines `line` bytes.
struct Left {
    const uint16_t* data;
    int64_t down, step, line;
};

// One or two columns of tiles of a right factor, whose steps are `step` values apart.
struct Right {
    const uint16_t *first, *second;
    int64_t step;
};

// Where the sums go: lines, rows and columns of tiles so many values apart.
struct Sums {
    float* data;
    int64_t line, down, across;
};

#if defined(__AMX_BF16__)

template <bool TwoRows, bool TwoColumns>
void multiply_tiles(const Left& a, const Right& b, int64_t steps, const Sums& out) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t i = 0; i < steps; i++) {
        _tile_loadd(4, a.data + i * a.step, a.line);
        _tile_loadd(6, b.first + i * b.step, 64);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (TwoColumns) {
            _tile_loadd(7, b.second + i * b.step, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (TwoRows) {
            _tile_loadd(5, a.data + a.down + i * a.step, a.line);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (TwoColumns) {
                _tile_dpbf16ps(3, 5, 7);
            }
        }
    }
    _tile_stored(0, out.data, out.line * 4);
    if constexpr (TwoColumns) {
        _tile_stored(1, out.data + out.across, out.line * 4);
    }
    if constexpr (TwoRows) {
        _tile_stored(2, out.data + out.down, out.line * 4);
        if constexpr (TwoColumns) {
            _tile_stored(3, out.data + out.down + out.across, out.line * 4);
        }
    }
}

#endif

// The same with vector registers, eight rows at a time.
template <bool TwoRows, bool TwoColumns>
void multiply_rows(const Left& a, const Right& b, int64_t steps, const Sums& out) {
    constexpr int kRows = 8, kColumns = TwoColumns ? 2 : 1;
    for (int row = 0; row < (TwoRows ? 2 : 1) * kTile; row += kRows) {
        __m512 acc[kRows][kColumns];
        for (auto& of_row : acc) {
            for (__m512& x : of_row) {
                x = _mm512_setzero_ps();
            }
        }
        const auto* lines = reinterpret_cast<const char*>(a.data + row / kTile * a.down) + row % kTile * a.line;
        for (int64_t i = 0; i < steps; i++, lines += 2 * a.step) {
            for (int64_t pair = 0; pair < kTile; pair++) {
                __m512bh v[kColumns];
                for (int c = 0; c < kColumns; c++) {
                    v[c] = reinterpret_cast<__m512bh>(
                        _mm512_loadu_si512((c == 0 ? b.first : b.second) + i * b.step + pair * kTileDepth));
                }
                for (int r = 0; r < kRows; r++) {
                    int32_t w;
                    std::memcpy(&w, lines + r * a.line + pair * 4, sizeof w);
                    for (int c = 0; c < kColumns; c++) {
                        acc[r][c] = _mm512_dpbf16_ps(acc[r][c], reinterpret_cast<__m512bh>(_mm512_set1_epi32(w)), v[c]);
                    }
                }
            }
        }
        float* to = out.data + row / kTile * out.down + row % kTile * out.line;
        for (int r = 0; r < kRows; r++) {
            for (int c = 0; c < kColumns; c++) {
                _mm512_storeu_ps(to + r * out.line + c * out.across, acc[r][c]);
            }
        }
    }
}

template <bool TwoRows, bool TwoColumns>
void multiply(bool amx, const Left& a, const Right& b, int64_t steps, const Sums& out) {
#if defined(__AMX_BF16__)
    if (amx) {
        multiply_tiles<TwoRows, TwoColumns>(a, b, steps, out);
        return;
    }
#else
    static_cast<void>(amx);
#endif
    multiply_rows<TwoRows, TwoColumns>(a, b, steps, out);
}

template <bool TwoRows>
void find_scores(const Problem& p, int64_t image, int64_t head, Scratch& s) {
    const int64_t groups = p.keys->ne[1], depth = p.size / kTileDepth;
    const uint16_t* keys =
        static_cast<const uint16_t*>(p.keys->data) + image * groups * p.keys->ne[0] + head * p.size * kTile;
    const Left queries{s.queries.data(), depth * kTileValues, kTileValues, 64};
    for (int64_t g = 0; g < groups; g += 2) {
        const uint16_t* k = keys + g * p.keys->ne[0];
        const Sums out{s.scores.data() + g * kTile, p.score_stride, kTile * p.score_stride, kTile};
        if (g + 1 < groups) {
            multiply<TwoRows, true>(p.amx, queries, {k, k + p.keys->ne[0], kTileValues}, depth, out);
        } else {
            multiply<TwoRows, false>(p.amx, queries, {k, k, kTileValues}, depth, out);
        }
    }
}

void softmax_row(const Problem& p, int64_t query, float* x, uint16_t* out, float* sum) {
    const float* mask = p.mask != nullptr ? row_of(p.mask, query, 0) : nullptr;
    const auto lanes  = [&](int64_t i) {
        return static_cast<__mmask16>(i + kTile <= p.tokens ? 0xffff : i >= p.tokens ? 0 : (1u << (p.tokens - i)) - 1);
    };
    __m512 most = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
    for (int64_t i = 0; i < p.tokens; i += kTile) {
        __m512 v = _mm512_loadu_ps(x + i);
        if (mask != nullptr) {
            v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(lanes(i), mask + i));
            _mm512_storeu_ps(x + i, v);
        }
        most = _mm512_mask_max_ps(most, lanes(i), most, v);
    }
    most         = _mm512_set1_ps(_mm512_reduce_max_ps(most));
    __m512 total = _mm512_setzero_ps();
    const auto e = [&](int64_t i) {
        return _mm512_maskz_mov_ps(lanes(i), exp16(_mm512_sub_ps(_mm512_loadu_ps(x + i), most)));
    };
    for (int64_t i = 0; i < p.tokens; i += kTileDepth) {
        const __m512 low = e(i), high = i + kTile < p.tokens ? e(i + kTile) : _mm512_setzero_ps();
        total = _mm512_add_ps(total, _mm512_add_ps(low, high));
        _mm512_storeu_si512(out + i, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
    }
    *sum = _mm512_reduce_add_ps(total);
}

template <bool TwoRows>
void mix_values(const Problem& p, int64_t image, int64_t head, int64_t first, int64_t rows, Scratch& s) {
    const int64_t groups = p.values->ne[1], columns = p.size / kTile;
    const uint16_t* values =
        static_cast<const uint16_t*>(p.values->data) + image * groups * p.values->ne[0] + head * p.size * kTileDepth;
    for (int64_t c = 0; c < columns; c += 2) {  // a head has an even number of 16 values
        const uint16_t* v0 = values + c * kTileValues;
        multiply<TwoRows, true>(p.amx, {s.weights.data(), kTile * p.weight_stride, kTileDepth, p.weight_stride * 2},
                                {v0, v0 + kTileValues, p.values->ne[0]}, groups,
                                {s.out, kTile, 2 * kSumSize, kSumSize});
        for (int64_t i = 0; i < rows; i++) {
            const __m512 factor = _mm512_set1_ps(1.0f / s.sums[i]);
            const float* tile   = s.out + i / kTile * 2 * kSumSize + i % kTile * kTile;
            float* y            = const_cast<float*>(row_of(p.dst, first + i, image)) + head * p.size + c * kTile;
            _mm512_storeu_ps(y, _mm512_mul_ps(_mm512_load_ps(tile), factor));
            _mm512_storeu_ps(y + kTile, _mm512_mul_ps(_mm512_load_ps(tile + kSumSize), factor));
        }
    }
}

void attend(ggml_tensor* dst, int ith, int nth, void* userdata) {
    Problem p;
    p.dst           = dst;
    p.q             = dst->src[0];
    p.keys          = dst->src[1];
    p.values        = dst->src[2];
    p.mask          = dst->src[4];
    p.heads         = static_cast<int64_t>(reinterpret_cast<uintptr_t>(userdata));
    p.size          = dst->ne[0] / p.heads;
    p.tokens        = dst->src[3]->ne[1];
    p.score_stride  = p.keys->ne[1] * kTile + kTile;
    p.weight_stride = p.values->ne[1] * kTileDepth + kTileDepth;
    p.scale         = 1.0f / std::sqrt(static_cast<float>(p.size));
    p.amx           = amx_usable();
    // 32 queries at a time, 16 where their scores would leave the second-level cache.
    const int64_t block  = p.tokens <= 8192 ? 2 * kTile : kTile;
    const int64_t blocks = ceil_div(dst->ne[1], block);
    Scratch s;
    s.queries.resize(static_cast<size_t>(2 * kTile * p.size));
    s.scores.resize(static_cast<size_t>(block * p.score_stride));
    s.weights.resize(static_cast<size_t>(block * p.weight_stride));
#if defined(__AMX_BF16__)
    std::optional<TileScope> tiles;
    if (p.amx) {
        tiles.emplace();
    }
#endif
    const int64_t units = blocks * p.heads * dst->ne[2];
    for (int64_t unit = units * ith / nth; unit < units * (ith + 1) / nth; unit++) {
        const int64_t first = unit % blocks * block, head = unit / blocks % p.heads, image = unit / (blocks * p.heads);
        const int64_t rows = std::min(block, dst->ne[1] - first);
        load_queries(p, image, head, first, rows, s);
        rows > kTile ? find_scores<true>(p, image, head, s) : find_scores<false>(p, image, head, s);
        for (int64_t i = 0; i < rows; i++) {
            softmax_row(p, first + i, &s.scores[static_cast<size_t>(i * p.score_stride)],
                        &s.weights[static_cast<size_t>(i * p.weight_stride)], s.sums + i);
        }
        rows > kTile ? mix_values<true>(p, image, head, first, rows, s)
                     : mix_values<false>(p, image, head, first, rows, s);
    }
}

#else

// Never run: attention_offered() is false.
void pack_keys(ggml_tensor*, int, int, void*) {}
void pack_values(ggml_tensor*, int, int, void*) {}
void attend(ggml_tensor*, int, int, void*) {}

#endif

}  // namespace

ggml_tensor* attention_bf16(ggml_context* ctx, ggml_tensor* q, ggml_tensor* k, ggml_tensor* v, int64_t heads,
                            ggml_tensor* mask) {
    const int64_t channels = q->ne[0], batch = q->ne[2], tokens = k->ne[1];
    ggml_tensor* keys   = named(ggml_custom_4d(ctx, GGML_TYPE_BF16, channels * kTile, ceil_div(tokens, kTile), batch, 1,
                                               &k, 1, pack_keys, GGML_N_TASKS_MAX, nullptr),
                                kPackKeys);
    ggml_tensor* values = named(ggml_custom_4d(ctx, GGML_TYPE_BF16, channels * kTileDepth, ceil_div(tokens, kTileDepth),
                                               batch, 1, &v, 1, pack_values, GGML_N_TASKS_MAX, nullptr),
                                kPackKeys);
    ggml_tensor* args[] = {q, keys, values, k, mask};  // k for its number of tokens
    return named(ggml_custom_4d(ctx, GGML_TYPE_F32, channels, q->ne[1], batch, 1, args, mask != nullptr ? 5 : 4, attend,
                                GGML_N_TASKS_MAX, reinterpret_cast<void*>(static_cast<uintptr_t>(heads))),
                 kAttention);
}

}  // namespace dg
