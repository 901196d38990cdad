#include "kernels/conv2d_bf16.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/named.h"
#include "kernels/product_bf16.h"

namespace dg {

namespace {

int64_t tiles_of(int64_t n, int64_t size) {
    return (n + size - 1) / size;
}

}  // namespace

int64_t conv_bf16_columns(int64_t kernel, int64_t in) {
    return kernel * kernel * tiles_of(in, kTileDepth) * kTileDepth;
}

void conv_bf16_pack(const uint16_t* weights, int64_t kernel, int64_t in, int64_t out, uint16_t* packed) {
    const int64_t taps = kernel * kernel, depth_tiles = tiles_of(in, kTileDepth);
    std::memset(packed, 0, static_cast<size_t>(conv_bf16_columns(kernel, in) * conv_packed_rows(out)) * 2);
    for (int64_t o = 0; o < out; o++) {
        for (int64_t c = 0; c < in; c++) {
            const int64_t first = (o / kTile * depth_tiles + c / kTileDepth) * taps;
            uint16_t* to        = packed + first * kTileValues + o % kTile * kTileDepth + c % kTileDepth;
            for (int64_t tap = 0; tap < taps; tap++) {
                to[tap * kTileValues] = weights[(o * in + c) * taps + tap];
            }
        }
    }
}

namespace {

// A node's userdata: the kernel's shape and which sources follow pairs, weights and bias.
constexpr uintptr_t kHasPerPicture = 1 << 24, kHasResidual = 1 << 25;

#if defined(__AVX512BF16__)

constexpr int kMaxGroups = 16;  // of 16 output pixels: one block
constexpr int64_t kSliceTiles =
    36;  // products of 32 a sum takes up at a time: a block's inputs for them fill the cache

struct Problem {
    const uint32_t* pairs;
    const uint16_t* weights;
    const float* bias;
    const float* per_picture;  // [out, N] or NULL
    const float* residual;     // as y, or NULL
    float* y;
    int64_t row, plane, image;            // strides of pairs, in dwords
    int64_t out_width, out_pixels, out, batch;
    int64_t taps, depth_tiles;            // tiles of input channels
    ConvShape shape;

    int64_t groups_per_image() const { return tiles_of(out_pixels, kTile); }
};

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

Group make_group(const Problem& p, int64_t index) {
    Group g;
    const int64_t image = index / p.groups_per_image(), first = index % p.groups_per_image() * kTile;
    const int64_t count = std::min<int64_t>(kTile, p.out_pixels - first);
    g.pairs             = p.pairs + image * p.image;
    g.image             = image;
    g.first             = image * p.out * p.out_pixels + first;
    g.mask              = static_cast<uint16_t>((1u << count) - 1);
    g.contiguous = p.shape.stride == 1 && count == kTile && first / p.out_width == (first + kTile - 1) / p.out_width;
    for (int64_t i = 0; i < kTile; i++) {
        const int64_t pixel = first + std::min(i, count - 1);
        g.offset[i] = static_cast<int32_t>((pixel / p.out_width * p.row + pixel % p.out_width) * p.shape.stride);
    }
    return g;
}

// One group's inputs for tiles [d0, d1) of channels, as tiles [pair][pixel] ordered by channels, then taps.
void gather(const Problem& p, const Group& g, int64_t d0, int64_t d1, uint32_t* out) {
    const __m512i index = _mm512_loadu_si512(g.offset);
    for (int64_t depth = d0; depth < d1; depth++) {
        for (int64_t tap = 0; tap < p.taps; tap++) {
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
void store(const Problem& p, const Group& g, int64_t tile, const float* sums) {
    const int64_t rows = std::min<int64_t>(kTile, p.out - tile * kTile);
    for (int64_t i = 0; i < rows; i++) {
        const int64_t channel = tile * kTile + i, at = g.first + channel * p.out_pixels;
        const float added =
            p.bias[channel] + (p.per_picture != nullptr ? p.per_picture[g.image * p.out + channel] : 0.0f);
        __m512 v = _mm512_add_ps(_mm512_loadu_ps(sums + i * kTile), _mm512_set1_ps(added));
        if (p.residual != nullptr) {
            v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(g.mask, p.residual + at));
        }
        _mm512_mask_storeu_ps(p.y + at, g.mask, v);
    }
}

// Output tiles [tile0, tile1) of the groups [group0, group1).
void compute_block(const Problem& p, int64_t group0, int64_t group1, int64_t tile0, int64_t tile1, bool amx) {
    thread_local std::vector<uint32_t> columns;
    thread_local std::vector<float> sums;  // [tile][group]
    const int64_t depth      = std::min(p.depth_tiles, std::max<int64_t>(1, kSliceTiles / p.taps));
    const int count          = static_cast<int>(group1 - group0);
    const int64_t group_size = depth * p.taps * kSumSize;
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
            const int64_t tile_size = p.depth_tiles * p.taps * kTileValues;
            const uint16_t* weights = p.weights + tile * tile_size + d0 * p.taps * kTileValues;
            const LeftTiles left{{weights, tile + 1 < tile1 ? weights + tile_size : nullptr}, kTileValues, 64};
            for (int i = 0; i < count; i += 2) {
                const auto* pixels = reinterpret_cast<const uint16_t*>(&columns[static_cast<size_t>(i * group_size)]);
                const RightTiles right{{pixels, i + 1 < count ? pixels + 2 * group_size : nullptr}, kTileValues};
                const SumTiles to{&sums[static_cast<size_t>(((tile - tile0) * count + i) * kSumSize)], kTile,
                                  count * kSumSize, kSumSize, d0 > 0};
                multiply(amx, left, right, (d1 - d0) * p.taps, to);
                for (int64_t t = tile; d1 == p.depth_tiles && t < std::min(tile + 2, tile1); t++) {
                    for (int g = i; g < std::min(i + 2, count); g++) {
                        store(p, groups[g], t, to.data + (t - tile) * to.down + (g - i) * to.across);
                    }
                }
            }
        }
    }
}

void convolve(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const ggml_tensor* pairs = dst->src[0];
    const auto bits          = reinterpret_cast<uintptr_t>(userdata);
    Problem p;
    p.shape       = {static_cast<int32_t>(bits & 0xff), static_cast<int32_t>(bits >> 8 & 0xff),
                     static_cast<int32_t>(bits >> 16 & 0xff)};
    p.per_picture = (bits & kHasPerPicture) != 0 ? static_cast<const float*>(dst->src[3]->data) : nullptr;
    p.residual    = nullptr;
    if ((bits & kHasResidual) != 0) {
        p.residual = static_cast<const float*>(dst->src[p.per_picture != nullptr ? 4 : 3]->data);
    }
    p.pairs       = static_cast<const uint32_t*>(pairs->data);
    p.weights     = static_cast<const uint16_t*>(dst->src[1]->data);
    p.bias        = static_cast<const float*>(dst->src[2]->data);
    p.y           = static_cast<float*>(dst->data);
    p.row         = pairs->ne[0] / 2;
    p.plane       = p.row * pairs->ne[1];
    p.image       = p.plane * pairs->ne[2];
    p.out_width   = dst->ne[0];
    p.out_pixels  = dst->ne[0] * dst->ne[1];
    p.out         = dst->ne[2];
    p.batch       = dst->ne[3];
    p.taps        = int64_t{p.shape.kernel} * p.shape.kernel;
    p.depth_tiles = pairs->ne[2] / kTile;
    const TileScope scope(amx_usable());
    // Threads share out blocks of pixels; where those are few, also the output channels.
    const int64_t groups = p.groups_per_image() * p.batch;
    const int64_t tiles  = tiles_of(p.out, kTile);
    const int64_t blocks = tiles_of(groups, kMaxGroups);
    const int64_t parts  = blocks >= 4 * nth ? 1 : std::min<int64_t>(nth, tiles_of(tiles, 2));
    for (int64_t work = ith; work < blocks * parts; work += nth) {
        const int64_t block = work / parts, part = work % parts;
        compute_block(p, groups * block / blocks, groups * (block + 1) / blocks, tiles * part / parts,
                      tiles * (part + 1) / parts, scope.amx());
    }
}

#else

// Never run: bf16_products() is false.
void convolve(ggml_tensor*, int, int, void*) {}

#endif

}  // namespace

ggml_tensor* conv_bf16(ggml_context* ctx, ggml_tensor* pairs, int64_t width, int64_t height, ggml_tensor* packed,
                       ggml_tensor* bias, int64_t out, const ConvShape& shape, const ConvAddends& addends) {
    const int64_t out_width  = (width + 2 * shape.pad - shape.kernel) / shape.stride + 1;
    const int64_t out_height = (height + 2 * shape.pad - shape.kernel) / shape.stride + 1;
    ggml_tensor* args[5]     = {pairs, packed, bias};
    int count                = 3;
    uintptr_t bits           = static_cast<uintptr_t>(shape.kernel) | static_cast<uintptr_t>(shape.stride) << 8 |
                     static_cast<uintptr_t>(shape.pad) << 16;
    if (addends.per_picture != nullptr) {
        args[count++] = addends.per_picture;
        bits |= kHasPerPicture;
    }
    if (addends.residual != nullptr) {
        args[count++] = addends.residual;
        bits |= kHasResidual;
    }
    return named(ggml_custom_4d(ctx, GGML_TYPE_F32, out_width, out_height, out, pairs->ne[3], args, count, convolve,
                                GGML_N_TASKS_MAX, reinterpret_cast<void*>(bits)),
                 kConv2dBf16);
}

}  // namespace dg
