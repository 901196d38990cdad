#include <algorithm>
#include <vector>

#include "kernels/conv_problem_bf16.h"
#include "kernels/split.h"

namespace dg {

#if defined(__AVX512BF16__)

namespace {

constexpr int kMaxGroups = 16;  // of 16 output pixels: one block
constexpr int64_t kSliceTiles =
    36;  // products of 32 a sum takes up at a time: a block's inputs for them fill the cache

int64_t groups_per_image(const Bf16Problem& p) {
    return ceil_div(p.pixels, kTile);
}

// Sixteen output pixels of one picture.
struct Group {
    const uint32_t* pairs;  // of its picture
    int64_t image;
    int64_t first;          // its first pixel in output channel 0 of y
    uint16_t mask;          // pixels that exist
    bool contiguous;        // inputs of neighbouring pixels are neighbours
    int32_t offset[kTile];  // of each pixel's first tap in a plane of pairs

    bool full() const { return mask == 0xffff; }
};

Group make_group(const Bf16Problem& p, int64_t index) {
    Group g;
    const int64_t image = index / groups_per_image(p), first = index % groups_per_image(p) * kTile;
    const int64_t count = std::min<int64_t>(kTile, p.pixels - first);
    g.pairs             = p.pairs + image * p.image;
    g.image             = image;
    g.first             = image * p.out * p.pixels + first;
    g.mask              = static_cast<uint16_t>((1u << count) - 1);
    g.contiguous = p.shape.stride == 1 && count == kTile && first / p.out_width == (first + kTile - 1) / p.out_width;
    for (int64_t i = 0; i < kTile; i++) {
        const int64_t pixel = first + std::min(i, count - 1);
        g.offset[i] = static_cast<int32_t>((pixel / p.out_width * p.row + pixel % p.out_width) * p.shape.stride);
    }
    return g;
}

// One group's inputs for tiles [d0, d1) of channels, as tiles [pair][pixel] ordered by channels, then taps.
void gather(const Bf16Problem& p, const Group& g, int64_t d0, int64_t d1, uint32_t* out) {
    const __m512i index = _mm512_loadu_si512(g.offset);
    for (int64_t depth = d0; depth < d1; depth++) {
        for (int64_t tap = 0; tap < p.taps(); tap++) {
            const int64_t shift  = tap / p.shape.kernel * p.row + tap % p.shape.kernel;
            const uint32_t* from = g.pairs + depth * kTile * p.plane + shift;
            for (int pair = 0; pair < kTile; pair++, from += p.plane, out += kTile) {
                const __m512i v =
                    g.contiguous ? _mm512_loadu_si512(from + g.offset[0]) : _mm512_i32gather_epi32(index, from, 4);
                _mm512_storeu_si512(out, v);
            }
        }
    }
}

// Writes the sums of one tile of output channels and one group, with all that is added to them.
void store(const Bf16Problem& p, const Group& g, int64_t tile, const float* sums) {
    const int64_t rows = std::min<int64_t>(kTile, p.out - tile * kTile);
    for (int64_t i = 0; i < rows; i++) {
        const int64_t channel = tile * kTile + i, at = g.first + channel * p.pixels;
        const __m512 added = _mm512_set1_ps(p.added_to(channel, g.image));
        __m512 v           = _mm512_add_ps(_mm512_loadu_ps(sums + i * kTile), added);
        if (p.residual != nullptr) {
            v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(g.mask, p.residual + at));
        }
        _mm512_mask_storeu_ps(p.y + at, g.mask, v);
    }
}

// Output tiles [tile0, tile1) of the groups [group0, group1).
void compute_block(const Bf16Problem& p, int64_t group0, int64_t group1, int64_t tile0, int64_t tile1, bool amx) {
    thread_local std::vector<uint32_t> columns;
    thread_local std::vector<float> sums;  // [tile][group]
    const int64_t depth      = std::min(p.depth_tiles, std::max<int64_t>(1, kSliceTiles / p.taps()));
    const int count          = static_cast<int>(group1 - group0);
    const int64_t group_size = depth * p.taps() * kSumSize;
    columns.resize(static_cast<size_t>(count * group_size));
    sums.resize(static_cast<size_t>((tile1 - tile0) * count * kSumSize));
    Group groups[kMaxGroups];
    for (int i = 0; i < count; i++) {
        groups[i] = make_group(p, group0 + i);
    }
    for (int64_t d0 = 0; d0 < p.depth_tiles; d0 += depth) {
        const int64_t d1 = std::min(p.depth_tiles, d0 + depth);
        for (int i = 0; i < count; i++) {
            gather(p, groups[i], d0, d1, &columns[static_cast<size_t>(i * group_size)]);
        }
        for (int64_t tile = tile0; tile < tile1; tile += 2) {
            const int64_t tile_size = p.depth_tiles * p.taps() * kTileValues;
            const uint16_t* weights = p.packed + tile * tile_size + d0 * p.taps() * kTileValues;
            const LeftTiles left{{weights, tile + 1 < tile1 ? weights + tile_size : nullptr}, kTileValues, 64};
            for (int i = 0; i < count; i += 2) {
                const auto* pixels = reinterpret_cast<const uint16_t*>(&columns[static_cast<size_t>(i * group_size)]);
                const RightTiles right{{pixels, i + 1 < count ? pixels + 2 * group_size : nullptr}, kTileValues};
                const SumTiles to{&sums[static_cast<size_t>(((tile - tile0) * count + i) * kSumSize)], kTile,
                                  count * kSumSize, kSumSize, d0 > 0};
                multiply(amx, left, right, (d1 - d0) * p.taps(), to);
                for (int64_t t = tile; d1 == p.depth_tiles && t < std::min(tile + 2, tile1); t++) {
                    for (int g = i; g < std::min(i + 2, count); g++) {
                        store(p, groups[g], t, to.data + (t - tile) * to.down + (g - i) * to.across);
                    }
                }
            }
        }
    }
}

}  // namespace

void convolve_bf16(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const Bf16Problem p(dst, userdata);
    const TileScope scope(amx_usable());
    // Threads share out blocks of pixels and, in each, tiles of output channels.
    const int64_t groups = groups_per_image(p) * p.batch;
    const int64_t tiles  = ceil_div(p.out, kTile);
    const BlockShares shares(groups, kMaxGroups, tiles, nth);
    shares.each(ith, nth, [&](int64_t group0, int64_t group1, int64_t tile0, int64_t tile1) {
        compute_block(p, group0, group1, tile0, tile1, scope.amx());
    });
}

#else

void convolve_bf16(ggml_tensor*, int, int, void*) {}

#endif

}  // namespace dg
