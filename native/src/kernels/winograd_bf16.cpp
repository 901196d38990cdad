#include <algorithm>
#include <vector>

#include "kernels/conv_problem_bf16.h"
#include "kernels/split.h"

namespace dg {

bool winograd_bf16_offered(int64_t width, int64_t height, int64_t in, int64_t out, const ConvShape& shape) {
    constexpr int64_t kLeastPixels   = 256,
                      kLeastChannels = 64;  // below, the transforms take longer than the products they save
    const int64_t border             = 2 * shape.pad - 2;
    return shape.kernel == 3 && shape.stride == 1 && (width + border) % 2 == 0 && (height + border) % 2 == 0 &&
           (width + border) * (height + border) >= kLeastPixels && in >= kLeastChannels && out >= kLeastChannels;
}

#if defined(__AVX512BF16__)

namespace {

constexpr int64_t kPoints     = 16;       // of a transformed tile
constexpr int64_t kSliceDepth = 4;        // tiles of input channels whose transformed weights are kept at a time
constexpr int64_t kBlockBytes = 2 << 20;  // of transformed inputs
constexpr int64_t kMostGroups = 16;       // of a block

// Sixteen tiles of 2 x 2 output pixels of one picture.
struct Group {
    const uint32_t* pairs;  // of its picture
    int64_t image, count;
    bool contiguous;        // all sixteen lie side by side
    int32_t offset[kTile];  // of each tile's first input in a plane of pairs
    int64_t pixel[kTile];   // each tile's first output
};

int64_t tiles_per_image(const Bf16Problem& p) {
    return p.pixels / 4;
}

int64_t groups_per_image(const Bf16Problem& p) {
    return ceil_div(tiles_per_image(p), kTile);
}

Group make_group(const Bf16Problem& p, int64_t index) {
    Group g;
    const int64_t first = index % groups_per_image(p) * kTile, across = p.out_width / 2;
    g.image      = index / groups_per_image(p);
    g.pairs      = p.pairs + g.image * p.image;
    g.count      = std::min<int64_t>(kTile, tiles_per_image(p) - first);
    g.contiguous = g.count == kTile && first / across == (first + kTile - 1) / across;
    for (int64_t i = 0; i < kTile; i++) {
        const int64_t tile = first + std::min(i, g.count - 1), y = tile / across * 2, x = tile % across * 2;
        g.offset[i] = static_cast<int32_t>(y * p.row + x);
        g.pixel[i]  = y * p.out_width + x;
    }
    return g;
}

// B^T d of four values.
inline void input_line(const __m512 d[4], __m512 o[4]) {
    o[0] = _mm512_sub_ps(d[0], d[2]);
    o[1] = _mm512_add_ps(d[1], d[2]);
    o[2] = _mm512_sub_ps(d[2], d[1]);
    o[3] = _mm512_sub_ps(d[1], d[3]);
}

// G g of three values.
inline void weight_line(const __m512 g[3], __m512 o[4]) {
    const __m512 half = _mm512_set1_ps(0.5f), ends = _mm512_mul_ps(half, _mm512_add_ps(g[0], g[2]));
    o[0] = g[0];
    o[1] = _mm512_fmadd_ps(half, g[1], ends);
    o[2] = _mm512_fnmadd_ps(half, g[1], ends);
    o[3] = g[2];
}

// A^T m of four values.
inline void output_line(const __m512 m[4], __m512 o[2]) {
    o[0] = _mm512_add_ps(m[0], _mm512_add_ps(m[1], m[2]));
    o[1] = _mm512_sub_ps(_mm512_sub_ps(m[1], m[2]), m[3]);
}

// Both passes of a transform of In x In values to Out x Out. line() does one pass of one column or line.
template <int In, int Out, typename Line>
[[gnu::always_inline]] inline void transform(Line line, const __m512 (&from)[In][In], __m512 (&to)[Out][Out]) {
    __m512 half[Out][In], column[In], result[Out];
    for (int x = 0; x < In; x++) {
        for (int y = 0; y < In; y++) {
            column[y] = from[y][x];
        }
        line(column, result);
        for (int y = 0; y < Out; y++) {
            half[y][x] = result[y];
        }
    }
    for (int y = 0; y < Out; y++) {
        line(half[y], to[y]);
    }
}

// The same for both values of BF16 pairs: store(point, pairs) takes each result.
template <int In, typename Line, typename Store>
[[gnu::always_inline]] inline void transform_pairs(Line line, const __m512i (&pairs)[In][In], Store store) {
    __m512 from[In][In], first[4][4], second[4][4];
    for (int y = 0; y < In; y++) {
        for (int x = 0; x < In; x++) {
            from[y][x] = first_of(pairs[y][x]);
        }
    }
    transform<In, 4>(line, from, first);
    for (int y = 0; y < In; y++) {
        for (int x = 0; x < In; x++) {
            from[y][x] = second_of(pairs[y][x]);
        }
    }
    transform<In, 4>(line, from, second);
    const __m512i beside = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                            21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    for (int y = 0; y < 4; y++) {
        for (int x = 0; x < 4; x++) {
            store(y * 4 + x, _mm512_permutexvar_epi16(beside, narrow(first[y][x], second[y][x])));
        }
    }
}

// A line of inputs of sixteen tiles, each tile's four values.
inline void load_line(const Group& g, const uint32_t* from, __m512i line[4]) {
    if (!g.contiguous) {
        const __m512i index = _mm512_loadu_si512(g.offset);
        for (int x = 0; x < 4; x++) {
            line[x] = _mm512_i32gather_epi32(index, from + x, 4);
        }
        return;
    }
    const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i odd  = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    from += g.offset[0];
    for (int x = 0; x < 4; x += 2) {
        const __m512i low = _mm512_loadu_si512(from + x), high = _mm512_loadu_si512(from + x + kTile);
        line[x]     = _mm512_permutex2var_epi32(low, even, high);
        line[x + 1] = _mm512_permutex2var_epi32(low, odd, high);
    }
}

// One group's inputs: to[point][depth tile], each [pair][tile].
void transform_inputs(const Bf16Problem& p, const Group& g, uint32_t* to) {
    const int64_t point_size = p.depth_tiles * kSumSize;
    for (int64_t pair = 0; pair < p.depth_tiles * kTile; pair++, to += kTile) {
        __m512i pairs[4][4];
        for (int y = 0; y < 4; y++) {
            load_line(g, g.pairs + pair * p.plane + y * p.row, pairs[y]);
        }
        transform_pairs(input_line, pairs,
                        [&](int point, __m512i v) { _mm512_storeu_si512(to + point * point_size, v); });
    }
}

// One tile of output channels' weights for tiles [d0, d1) of inputs: to[point][depth tile].
void transform_weights(const Bf16Problem& p, int64_t tile, int64_t d0, int64_t d1, uint16_t* to) {
    constexpr int64_t kTaps = 9;
    for (int64_t d = d0; d < d1; d++) {
        const uint16_t* from = p.packed + (tile * p.depth_tiles + d) * kTaps * kTileValues;
        for (int64_t at = 0; at < kTileValues; at += kTileDepth) {
            __m512i pairs[3][3];
            for (int tap = 0; tap < kTaps; tap++) {
                pairs[tap / 3][tap % 3] = _mm512_loadu_si512(from + tap * kTileValues + at);
            }
            uint16_t* out = to + (d - d0) * kTileValues + at;
            transform_pairs(weight_line, pairs, [&](int point, __m512i v) {
                _mm512_storeu_si512(out + point * kSliceDepth * kTileValues, v);
            });
        }
    }
}

// Writes one line of sixteen tiles, with all that is added: even and odd pixels of each.
void store_line(const Bf16Problem& p, const Group& g, int64_t plane, int64_t line, __m512 even, __m512 odd) {
    const __m512i low  = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    alignas(64) float pixels[2 * kTile];
    _mm512_store_ps(pixels, _mm512_permutex2var_ps(even, low, odd));
    _mm512_store_ps(pixels + kTile, _mm512_permutex2var_ps(even, high, odd));
    const int64_t at = plane + line * p.out_width;
    for (int64_t i = 0; g.contiguous && i < 2 * kTile; i += kTile) {
        const int64_t to = at + g.pixel[0] + i;
        const __m512 v   = _mm512_load_ps(pixels + i);
        _mm512_storeu_ps(p.y + to, p.residual == nullptr ? v : _mm512_add_ps(v, _mm512_loadu_ps(p.residual + to)));
    }
    for (int64_t i = 0; !g.contiguous && i < 2 * g.count; i++) {
        const int64_t to = at + g.pixel[i / 2] + i % 2;
        p.y[to]          = p.residual == nullptr ? pixels[i] : pixels[i] + p.residual[to];
    }
}

// One tile of output channels of one group; sums: [point], `apart` values from each other.
void transform_outputs(const Bf16Problem& p, const Group& g, int64_t tile, const float* sums, int64_t apart) {
    for (int64_t i = 0; i < std::min<int64_t>(kTile, p.out - tile * kTile); i++) {
        const int64_t channel = tile * kTile + i, plane = (g.image * p.out + channel) * p.pixels;
        __m512 from[4][4], to[2][2];
        for (int point = 0; point < kPoints; point++) {
            from[point / 4][point % 4] = _mm512_loadu_ps(sums + point * apart + i * kTile);
        }
        transform<4, 2>(output_line, from, to);
        const __m512 added = _mm512_set1_ps(p.added_to(channel, g.image));
        for (int y = 0; y < 2; y++) {
            store_line(p, g, plane, y, _mm512_add_ps(to[y][0], added), _mm512_add_ps(to[y][1], added));
        }
    }
}

// Output tiles [tile0, tile1) of the groups [group0, group1).
void compute_block(const Bf16Problem& p, int64_t group0, int64_t group1, int64_t tile0, int64_t tile1, bool amx) {
    thread_local std::vector<uint32_t> inputs;
    thread_local std::vector<uint16_t> weights;  // [row tile][point][depth tile of a slice]
    thread_local std::vector<float> sums;        // [row tile][point][group]
    const int64_t count = group1 - group0, point_size = p.depth_tiles * kSumSize, group_size = kPoints * point_size;
    const int64_t weights_size = kPoints * kSliceDepth * kTileValues, sums_size = kPoints * count * kSumSize;
    inputs.resize(static_cast<size_t>(count * group_size));
    weights.resize(static_cast<size_t>(2 * weights_size));
    sums.resize(static_cast<size_t>(2 * sums_size));
    Group groups[kMostGroups];
    for (int64_t i = 0; i < count; i++) {
        groups[i] = make_group(p, group0 + i);
        transform_inputs(p, groups[i], &inputs[static_cast<size_t>(i * group_size)]);
    }
    for (int64_t tile = tile0; tile < tile1; tile += 2) {
        const int64_t row_tiles = std::min<int64_t>(2, tile1 - tile);
        for (int64_t d0 = 0; d0 < p.depth_tiles; d0 += kSliceDepth) {
            const int64_t d1 = std::min(p.depth_tiles, d0 + kSliceDepth);
            for (int64_t t = 0; t < row_tiles; t++) {
                transform_weights(p, tile + t, d0, d1, &weights[static_cast<size_t>(t * weights_size)]);
            }
            for (int64_t point = 0; point < kPoints; point++) {
                const uint16_t* w = &weights[static_cast<size_t>(point * kSliceDepth * kTileValues)];
                const LeftTiles left{{w, row_tiles == 2 ? w + weights_size : nullptr}, kTileValues, 64};
                for (int64_t g = 0; g < count; g += 2) {
                    const auto* v = reinterpret_cast<const uint16_t*>(
                        &inputs[static_cast<size_t>(g * group_size + point * point_size + d0 * kSumSize)]);
                    multiply(amx, left, {{v, g + 1 < count ? v + 2 * group_size : nullptr}, kTileValues}, d1 - d0,
                             {&sums[static_cast<size_t>((point * count + g) * kSumSize)], kTile, sums_size, kSumSize,
                              d0 > 0});
                }
            }
        }
        for (int64_t t = 0; t < row_tiles; t++) {
            for (int64_t g = 0; g < count; g++) {
                transform_outputs(p, groups[g], tile + t, &sums[static_cast<size_t>(t * sums_size + g * kSumSize)],
                                  count * kSumSize);
            }
        }
    }
}

}  // namespace

void convolve_winograd_bf16(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const Bf16Problem p(dst, userdata);
    const TileScope scope(amx_usable());
    const int64_t groups = groups_per_image(p) * p.batch, tiles = ceil_div(p.out, kTile);
    const int64_t fitting = kBlockBytes / (kPoints * p.depth_tiles * kTileBytes) / 2 * 2;
    const BlockShares shares(groups, std::clamp<int64_t>(fitting, 2, kMostGroups), tiles, nth);
    shares.each(ith, nth, [&](int64_t group0, int64_t group1, int64_t tile0, int64_t tile1) {
        compute_block(p, group0, group1, tile0, tile1, scope.amx());
    });
}

#else

void convolve_winograd_bf16(ggml_tensor*, int, int, void*) {}

#endif

}  // namespace dg
