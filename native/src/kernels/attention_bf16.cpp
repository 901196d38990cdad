#include "kernels/attention_bf16.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/node.h"
#include "kernels/product_bf16.h"
#include "kernels/q8_block.h"
#include "kernels/vecmath.h"

namespace dg {

bool attention_offered(int64_t head_size) {
    return bf16_products() && head_size % kTileDepth == 0;
}

namespace {

constexpr uintptr_t kHeadsMask = 0xffff;  // a node's userdata: the heads, and above them the number of keys

#if defined(__AVX512BF16__)

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
    const ggml_tensor *q, *keys, *values, *mask, *of_row;
    ggml_tensor* dst;
    int64_t heads, size, tokens;  // size of a head, number of keys
    int64_t score_stride, weight_stride;
    float scale;
    bool amx;

    // Whose keys and values an image has.
    int64_t source(int64_t image) const {
        return of_row != nullptr ? static_cast<const int32_t*>(of_row->data)[image] : image;
    }
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
                v = narrow(_mm512_mul_ps(_mm512_loadu_ps(x), scale), _mm512_mul_ps(_mm512_loadu_ps(x + kTile), scale));
            }
            const int64_t tile = i / kTile * (p.size / kTileDepth) + c / kTileDepth;
            _mm512_storeu_si512(&s.queries[static_cast<size_t>(tile * kTileValues + i % kTile * kTileDepth)], v);
        }
    }
}

// Scores of one or two tiles of queries.
void find_scores(const Problem& p, int64_t image, int64_t head, int64_t rows, Scratch& s) {
    const int64_t groups = p.keys->ne[1], depth = p.size / kTileDepth;
    const uint16_t* keys =
        static_cast<const uint16_t*>(p.keys->data) + p.source(image) * groups * p.keys->ne[0] + head * p.size * kTile;
    const uint16_t* queries = s.queries.data();
    const LeftTiles left{{queries, rows > kTile ? queries + depth * kTileValues : nullptr}, kTileValues, 64};
    for (int64_t g = 0; g < groups; g += 2) {
        const uint16_t* k = keys + g * p.keys->ne[0];
        multiply(p.amx, left, {{k, g + 1 < groups ? k + p.keys->ne[0] : nullptr}, kTileValues}, depth,
                 {s.scores.data() + g * kTile, p.score_stride, kTile * p.score_stride, kTile, false});
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
        return _mm512_maskz_mov_ps(lanes(i), vec::exp(_mm512_sub_ps(_mm512_loadu_ps(x + i), most)));
    };
    for (int64_t i = 0; i < p.tokens; i += kTileDepth) {
        const __m512 low = e(i), high = i + kTile < p.tokens ? e(i + kTile) : _mm512_setzero_ps();
        total = _mm512_add_ps(total, _mm512_add_ps(low, high));
        _mm512_storeu_si512(out + i, narrow(low, high));
    }
    *sum = _mm512_reduce_add_ps(total);
}

// Writes 32 mixed values of the queries from `first` on, from the channel `at` on.
void store_mixed(const Problem& p, int64_t image, int64_t at, int64_t first, int64_t rows, const Scratch& s) {
    __m512i r[kTile];
    for (int64_t i = 0; i < rows; i++) {
        const __m512 factor = _mm512_set1_ps(1.0f / s.sums[i]);
        const float* tile   = s.out + i / kTile * 2 * kSumSize + i % kTile * kTile;
        const __m512 low    = _mm512_mul_ps(_mm512_load_ps(tile), factor);
        const __m512 high   = _mm512_mul_ps(_mm512_load_ps(tile + kSumSize), factor);
        if (p.dst->type == GGML_TYPE_F32) {
            float* y = const_cast<float*>(row_of(p.dst, first + i, image)) + at;
            _mm512_storeu_ps(y, low);
            _mm512_storeu_ps(y + kTile, high);
            continue;
        }
        r[i % kTile] = narrow(low, high);
        if (i % kTile == kTile - 1) {
            const int64_t group = (image * p.q->ne[1] + first + i) / kTile;
            transpose16(r);
            store_tokens(p.dst->type == GGML_TYPE_I8, r,
                         static_cast<char*>(p.dst->data) + group * static_cast<int64_t>(p.dst->nb[1]), at);
        }
    }
}

void mix_values(const Problem& p, int64_t image, int64_t head, int64_t first, int64_t rows, Scratch& s) {
    const int64_t groups = p.values->ne[1], columns = p.size / kTile;
    const uint16_t* values = static_cast<const uint16_t*>(p.values->data) + p.source(image) * groups * p.values->ne[0] +
                             head * p.size * kTileDepth;
    const uint16_t* weights = s.weights.data();
    const LeftTiles left{
        {weights, rows > kTile ? weights + kTile * p.weight_stride : nullptr}, kTileDepth, p.weight_stride * 2};
    for (int64_t c = 0; c < columns; c += 2) {  // a head has an even number of 16 values
        const uint16_t* v0 = values + c * kTileValues;
        multiply(p.amx, left, {{v0, v0 + kTileValues}, p.values->ne[0]}, groups,
                 {s.out, kTile, 2 * kSumSize, kSumSize, false});
        store_mixed(p, image, head * p.size + c * kTile, first, rows, s);
    }
}

void attend(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const TileScope tiles(amx_usable());
    Problem p{};
    p.dst           = dst;
    p.q             = dst->src[0];
    p.keys          = dst->src[1];
    p.values        = dst->src[2];
    p.mask          = dst->src[3];
    p.of_row        = dst->src[4];
    p.heads         = static_cast<int64_t>(reinterpret_cast<uintptr_t>(userdata) & kHeadsMask);
    p.size          = p.q->ne[0] / p.heads;
    p.tokens        = static_cast<int64_t>(reinterpret_cast<uintptr_t>(userdata) / (kHeadsMask + 1));
    p.score_stride  = p.keys->ne[1] * kTile + kTile;
    p.weight_stride = p.values->ne[1] * kTileDepth + kTileDepth;
    p.scale         = 1.0f / std::sqrt(static_cast<float>(p.size));
    p.amx           = tiles.amx();
    // 32 queries at a time, 16 where their scores would leave the second-level cache.
    const int64_t block   = p.tokens <= 8192 ? 2 * kTile : kTile;
    const int64_t queries = p.q->ne[1], blocks = ceil_div(queries, block);
    Scratch s;
    s.queries.resize(static_cast<size_t>(2 * kTile * p.size));
    s.scores.resize(static_cast<size_t>(block * p.score_stride));
    s.weights.resize(static_cast<size_t>(block * p.weight_stride));
    const int64_t units = blocks * p.heads * p.q->ne[2];
    for (int64_t unit = units * ith / nth; unit < units * (ith + 1) / nth; unit++) {
        const int64_t first = unit % blocks * block, head = unit / blocks % p.heads, image = unit / (blocks * p.heads);
        const int64_t rows = std::min(block, queries - first);
        load_queries(p, image, head, first, rows, s);
        find_scores(p, image, head, rows, s);
        for (int64_t i = 0; i < rows; i++) {
            softmax_row(p, first + i, &s.scores[static_cast<size_t>(i * p.score_stride)],
                        &s.weights[static_cast<size_t>(i * p.weight_stride)], s.sums + i);
        }
        mix_values(p, image, head, first, rows, s);
    }
}

#else

// Never run: attention_offered() is false.
void pack_keys(ggml_tensor*, int, int, void*) {}
void pack_values(ggml_tensor*, int, int, void*) {}
void attend(ggml_tensor*, int, int, void*) {}

#endif

}  // namespace

static ggml_tensor* attention_node(ggml_context* ctx, ggml_type type, const std::array<int64_t, 4>& shape,
                                   ggml_tensor* q, const KeysValues& kv, int64_t heads, ggml_tensor* mask,
                                   ggml_tensor* of_row) {
    return custom_node(ctx, kAttention, attend, type, shape, {q, kv.keys, kv.values, mask, of_row},
                       static_cast<uintptr_t>(heads) + static_cast<uintptr_t>(kv.tokens) * (kHeadsMask + 1));
}

KeysValues pack_keys_values(ggml_context* ctx, ggml_tensor* k, ggml_tensor* v) {
    const int64_t channels = k->ne[0], sources = k->ne[2], tokens = k->ne[1];
    return {custom_node(ctx, kPackKeys, pack_keys, GGML_TYPE_BF16,
                        {channels * kTile, ceil_div(tokens, kTile), sources, 1}, {k}),
            custom_node(ctx, kPackKeys, pack_values, GGML_TYPE_BF16,
                        {channels * kTileDepth, ceil_div(tokens, kTileDepth), sources, 1}, {v}),
            tokens};
}

ggml_tensor* attention_bf16(ggml_context* ctx, ggml_tensor* q, const KeysValues& kv, int64_t heads, ggml_tensor* mask,
                            ggml_tensor* of_row) {
    return attention_node(ctx, GGML_TYPE_F32, {q->ne[0], q->ne[1], q->ne[2], 1}, q, kv, heads, mask, of_row);
}

ggml_tensor* attention_packed(ggml_context* ctx, ggml_tensor* q, const KeysValues& kv, int64_t heads, ggml_tensor* mask,
                              ggml_tensor* of_row, TokenForm form) {
    const bool bytes = form == TokenForm::kBytes;
    return attention_node(ctx, bytes ? GGML_TYPE_I8 : GGML_TYPE_BF16,
                          packed_shape(bytes, q->ne[0], q->ne[1] * q->ne[2] / kTile), q, kv, heads, mask, of_row);
}

}  // namespace dg
