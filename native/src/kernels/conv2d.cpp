#include "kernels/conv2d.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/conv_problem.h"
#include "kernels/convert.h"
#include "kernels/pack_picture.h"
#include "kernels/product_bf16.h"
#include "kernels/product_f32.h"

namespace dg {

namespace {

constexpr int kRowsOfAnyLayout = 16;  // output channels are filled up to, so that a weight is as large on every CPU
constexpr int kTileOut         = 8;    // output channels per micro tile
constexpr int kLanes           = 16;   // output pixels per group
constexpr int kGroups          = 3;    // groups per micro tile
constexpr int kBlockGroup      = 15;   // groups per block: 240 pixels
constexpr int kBlockIn         = 64;   // input channels per block; with 9 taps 576 products

struct Problem : ConvProblem {
    int64_t width, height, in;                       // input
    int64_t row_stride, plane_stride, image_stride;  // of the picture, in floats

    Problem(const ggml_tensor* node, void* userdata)
        : ConvProblem(node, userdata),
          width(picture->ne[0]),
          height(picture->ne[1]),
          in(picture->ne[2]),
          row_stride(static_cast<int64_t>(picture->nb[1] / sizeof(float))),
          plane_stride(static_cast<int64_t>(picture->nb[2] / sizeof(float))),
          image_stride(static_cast<int64_t>(picture->nb[3] / sizeof(float))) {}

    int64_t groups_per_image() const { return ceil_div(pixels, kLanes); }
};

// Sixteen output pixels of one image and where one tap finds their inputs.
struct Group {
    int64_t image, first;  // first output pixel
    int count;             // 1..16
};

struct TapLanes {
    int32_t offset[kLanes];  // from the plane's start; only where mask says so
    uint16_t mask;
    bool contiguous;  // offsets rise by one: offset[0] + lane, also for masked lanes
};

TapLanes find_lanes(const Problem& p, const Group& g, int ky, int kx) {
    TapLanes t;
    t.mask       = 0;
    t.contiguous = p.shape.stride == 1;
    int64_t base = 0;
    for (int lane = 0; lane < kLanes; lane++) {
        t.offset[lane]      = 0;
        const int64_t pixel = g.first + lane;
        const int64_t oy = pixel / p.out_width, ox = pixel % p.out_width;
        const int64_t iy     = oy * p.shape.stride + ky - p.shape.pad;
        const int64_t ix     = ox * p.shape.stride + kx - p.shape.pad;
        const int64_t offset = iy * p.row_stride + ix;
        if (lane == 0) {
            base = offset;
        } else if (offset != base + lane && lane < g.count) {
            t.contiguous = false;
        }
        if (lane < g.count && iy >= 0 && iy < p.height && ix >= 0 && ix < p.width) {
            t.offset[lane] = static_cast<int32_t>(offset);
            t.mask |= static_cast<uint16_t>(1u << lane);
        }
    }
    if (t.contiguous) {
        for (int lane = 0; lane < kLanes; lane++) {
            t.offset[lane] = static_cast<int32_t>(base) + lane;
        }
    }
    return t;
}

#if defined(__AVX512F__)

__m512 load_lanes(const float* plane, const TapLanes& t) {
    if (t.contiguous) {
        return _mm512_maskz_loadu_ps(t.mask, plane + t.offset[0]);
    }
    const __m512i index = _mm512_loadu_si512(t.offset);
    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), t.mask, index, plane, 4);
}

#else

void load_lanes(const float* plane, const TapLanes& t, float* out) {
    for (int lane = 0; lane < kLanes; lane++) {
        out[lane] = (t.mask >> lane & 1) != 0 ? plane[t.offset[lane]] : 0.0f;
    }
}

#endif

// ---- packing of inputs: [tap][channel][lane] per group ------------------------------------------

// One group's columns for channels [c0, c1).
void pack_group(const Problem& p, const Group& g, const TapLanes* lanes, int64_t c0, int64_t c1, float* out) {
    const float* image = floats_of(p.picture) + g.image * p.image_stride;
    for (int64_t tap = 0; tap < p.taps(); tap++) {
        const TapLanes& t = lanes[tap];
        for (int64_t c = c0; c < c1; c++, out += kLanes) {
            const float* plane = image + c * p.plane_stride;
#if defined(__AVX512F__)
            _mm512_storeu_ps(out, load_lanes(plane, t));
#else
            load_lanes(plane, t, out);
#endif
        }
    }
}

// ---- micro kernels: 8 output channels x up to 48 pixels -------------------------------------------
// a: per product 8 weights; b: groups of [product][lane]; c: 8 rows, `start` initialises them.

#if defined(__AVX512F__)

template <int G>
void micro(const float* a, const float* const* b, int64_t products, const float* start, float* const* c, int64_t c_row,
           const uint16_t* masks, int rows) {
    __m512 acc[kTileOut][G];
    for (int i = 0; i < kTileOut; i++) {
        for (int g = 0; g < G; g++) {
            if (start != nullptr) {
                acc[i][g] = _mm512_set1_ps(i < rows ? start[i] : 0.0f);
            } else {
                acc[i][g] = i < rows ? _mm512_maskz_loadu_ps(masks[g], c[g] + i * c_row) : _mm512_setzero_ps();
            }
        }
    }
    for (int64_t k = 0; k < products; k++) {
        __m512 v[G];
        for (int g = 0; g < G; g++) {
            v[g] = _mm512_loadu_ps(b[g] + k * kLanes);
        }
        for (int i = 0; i < kTileOut; i++) {
            const __m512 w = _mm512_set1_ps(a[k * kTileOut + i]);
            for (int g = 0; g < G; g++) {
                acc[i][g] = _mm512_fmadd_ps(w, v[g], acc[i][g]);
            }
        }
    }
    for (int i = 0; i < rows; i++) {
        for (int g = 0; g < G; g++) {
            _mm512_mask_storeu_ps(c[g] + i * c_row, masks[g], acc[i][g]);
        }
    }
}

#else

// Four channels at a time, so that the sums stay in registers of 8 lanes.
template <int G>
void micro(const float* a, const float* const* b, int64_t products, const float* start, float* const* c, int64_t c_row,
           const uint16_t* masks, int rows) {
    for (int g = 0; g < G; g++) {
        for (int i0 = 0; i0 < kTileOut; i0 += 4) {
            float acc[4][kLanes] = {};
            for (int64_t k = 0; k < products; k++) {
                const float* v = b[g] + k * kLanes;
                for (int i = 0; i < 4; i++) {
                    const float w = a[k * kTileOut + i0 + i];
                    for (int lane = 0; lane < kLanes; lane++) {
                        acc[i][lane] += w * v[lane];
                    }
                }
            }
            for (int i = 0; i < 4 && i0 + i < rows; i++) {
                float* row = c[g] + (i0 + i) * c_row;
                for (int lane = 0; lane < kLanes; lane++) {
                    if ((masks[g] >> lane & 1) != 0) {
                        row[lane] = acc[i][lane] + (start != nullptr ? start[i0 + i] : row[lane]);
                    }
                }
            }
        }
    }
}

#endif

void micro_any(int groups, const float* a, const float* const* b, int64_t products, const float* start, float* const* c,
               int64_t c_row, const uint16_t* masks, int rows) {
    switch (groups) {
        case 1: micro<1>(a, b, products, start, c, c_row, masks, rows); break;
        case 2: micro<2>(a, b, products, start, c, c_row, masks, rows); break;
        default: micro<3>(a, b, products, start, c, c_row, masks, rows); break;
    }
}

// ---- blocks -----------------------------------------------------------------------------------------

// Where the packed weights of one tile of output channels begin, in elements.
int64_t tile_start(const Problem& p, int64_t tile) {
    return tile * kTileOut * p.taps() * p.in;
}

// The tile's weights for channels [c0, c1) of every tap, widened to F32 for the micro kernel.
class Panel {
public:
    explicit Panel(const Problem& p) : p_(p) { scratch_.resize(static_cast<size_t>(p.taps() * kBlockIn * kTileOut)); }

    const float* get(int64_t tile, int64_t c0, int64_t c1) {
        const int64_t size   = (c1 - c0) * kTileOut;
        const size_t element = ggml_type_size(p_.weights->type);
        for (int64_t tap = 0; tap < p_.taps(); tap++) {
            const int64_t at = tile_start(p_, tile) + (tap * p_.in + c0) * kTileOut;
            const auto* from = static_cast<const char*>(p_.weights->data) + static_cast<size_t>(at) * element;
            convert_floats(from, p_.weights->type, &scratch_[static_cast<size_t>(tap * size)], GGML_TYPE_F32, size);
        }
        return scratch_.data();
    }

private:
    const Problem& p_;
    std::vector<float> scratch_;
};

// Computes output tiles [tile0, tile1) of the groups [group0, group1).
void compute_block(const Problem& p, int64_t group0, int64_t group1, int64_t tile0, int64_t tile1) {
    const int64_t taps = p.taps();
    const int count    = static_cast<int>(group1 - group0);
    thread_local std::vector<float> columns;
    const int64_t column_floats = taps * kBlockIn * kLanes;
    columns.resize(static_cast<size_t>(kBlockGroup * column_floats));

    Group groups[kBlockGroup];
    uint16_t masks[kBlockGroup];
    std::vector<TapLanes> lanes(static_cast<size_t>(count) * static_cast<size_t>(taps));
    for (int i = 0; i < count; i++) {
        const int64_t index = group0 + i;
        groups[i].image     = index / p.groups_per_image();
        groups[i].first     = index % p.groups_per_image() * kLanes;
        groups[i].count     = static_cast<int>(std::min<int64_t>(kLanes, p.pixels - groups[i].first));
        masks[i]            = static_cast<uint16_t>((1u << groups[i].count) - 1);
        for (int64_t tap = 0; tap < taps; tap++) {
            lanes[static_cast<size_t>(i * taps + tap)] = find_lanes(
                p, groups[i], static_cast<int>(tap / p.shape.kernel), static_cast<int>(tap % p.shape.kernel));
        }
    }

    Panel panel(p);
    for (int64_t c0 = 0; c0 < p.in; c0 += kBlockIn) {
        const int64_t c1       = std::min(p.in, c0 + kBlockIn);
        const int64_t products = taps * (c1 - c0);
        for (int i = 0; i < count; i++) {
            pack_group(p, groups[i], &lanes[static_cast<size_t>(i * taps)], c0, c1,
                       &columns[static_cast<size_t>(i * column_floats)]);
        }
        for (int64_t tile = tile0; tile < tile1; tile++) {
            const float* a     = panel.get(tile, c0, c1);
            const int rows     = static_cast<int>(std::min<int64_t>(kTileOut, p.out - tile * kTileOut));
            const float* start = c0 == 0 ? p.bias + tile * kTileOut : nullptr;
            for (int i = 0; i < count; i += kGroups) {
                const int width = std::min(kGroups, count - i);
                const float* b[kGroups];
                float* c[kGroups];
                for (int g = 0; g < width; g++) {
                    b[g] = &columns[static_cast<size_t>((i + g) * column_floats)];
                    c[g] = p.y + (groups[i + g].image * p.out + tile * kTileOut) * p.pixels + groups[i + g].first;
                }
                micro_any(width, a, b, products, start, c, p.pixels, masks + i, rows);
            }
        }
    }
}

void run(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const Problem p(dst, userdata);
    // Threads share out blocks of pixels; where those are few, also the output channels.
    const int64_t groups = p.groups_per_image() * p.batch;
    const int64_t tiles  = ceil_div(p.out, kTileOut);
    const int64_t blocks = ceil_div(groups, kBlockGroup);
    const int64_t parts  = blocks >= 4 * nth ? 1 : std::min<int64_t>(nth, tiles);
    for (int64_t work = ith; work < blocks * parts; work += nth) {
        const int64_t block = work / parts, part = work % parts;
        compute_block(p, groups * block / blocks, groups * (block + 1) / blocks, tiles * part / parts,
                      tiles * (part + 1) / parts);
    }
}

}  // namespace

static bool is_bf16(ggml_type type) {
    return type == GGML_TYPE_BF16 && bf16_products();
}

bool conv_takes_packed(ggml_type type) {
    return f32_products() || is_bf16(type);
}

int64_t conv_packed_columns(ggml_type type, int64_t kernel, int64_t in) {
    return kernel * kernel * (is_bf16(type) ? round_up(in, kTileDepth) : in);
}

int64_t conv_packed_rows(int64_t out) {
    return round_up(out, kRowsOfAnyLayout);
}

// T is the element's storage. place(output, channel) is where the first tap goes, and how far the taps are apart.
template <typename T, typename Place>
static void pack_kernel(const void* weights, int64_t taps, int64_t in, int64_t out, void* packed, Place place) {
    for (int64_t o = 0; o < out; o++) {
        for (int64_t c = 0; c < in; c++) {
            const auto [first, apart] = place(o, c);
            for (int64_t tap = 0; tap < taps; tap++) {
                static_cast<T*>(packed)[first + tap * apart] =
                    static_cast<const T*>(weights)[(o * in + c) * taps + tap];
            }
        }
    }
}

void conv_pack(const void* weights, ggml_type type, int64_t kernel, int64_t in, int64_t out, void* packed) {
    const int64_t taps = kernel * kernel, columns = conv_packed_columns(type, kernel, in);
    std::memset(packed, 0, static_cast<size_t>(columns * conv_packed_rows(out)) * ggml_type_size(type));
    const auto pack = [&](auto place) {
        (type == GGML_TYPE_F32 ? pack_kernel<uint32_t, decltype(place)>
                               : pack_kernel<uint16_t, decltype(place)>)(weights, taps, in, out, packed, place);
    };
    using Place = std::pair<int64_t, int64_t>;
    if (f32_products()) {  // [16 outputs][channel block][tap][channel][output]; the last block is as wide as it needs to be
        pack([=](int64_t o, int64_t c) {
            const int64_t first = c / kBlock * kBlock, depth = std::min(kBlock, in - first);
            return Place(o / kPanel * kPanel * columns + o % kPanel + (first * taps + c - first) * kPanel,
                         depth * kPanel);
        });
    } else if (is_bf16(type)) {  // tiles of 16 outputs x 32 channels, ordered by output, channel, tap
        pack([=](int64_t o, int64_t c) {
            return Place(o / kTile * kTile * columns + c / kTileDepth * taps * kTileValues + o % kTile * kTileDepth +
                             c % kTileDepth,
                         kTileValues);
        });
    } else {  // [8 outputs][tap][channel][output]
        pack([=](int64_t o, int64_t c) {
            return Place(o / kTileOut * kTileOut * columns + c * kTileOut + o % kTileOut, in * kTileOut);
        });
    }
}

static ggml_tensor* conv_node(ggml_context* ctx, const char* name, ggml_custom_op_t function, ggml_tensor* x,
                              int64_t width, int64_t height, int64_t batch, ggml_tensor* packed, ggml_tensor* bias,
                              int64_t out, const ConvShape& shape, const ConvAddends& addends) {
    const int64_t out_width  = (width + 2 * shape.pad - shape.kernel) / shape.stride + 1;
    const int64_t out_height = (height + 2 * shape.pad - shape.kernel) / shape.stride + 1;
    const uintptr_t bits     = static_cast<uintptr_t>(shape.kernel) | static_cast<uintptr_t>(shape.stride) << 8 |
                           static_cast<uintptr_t>(shape.pad) << 16 |
                           static_cast<uintptr_t>(width + 2 * shape.pad) << 32;
    return custom_node(ctx, name, function, GGML_TYPE_F32, {out_width, out_height, out, batch},
                       {x, packed, bias, addends.per_picture, addends.residual}, bits);
}

ggml_tensor* conv_packed(ggml_context* ctx, ggml_tensor* picture, int64_t width, int64_t height, int64_t in,
                         ggml_tensor* packed, ggml_tensor* bias, int64_t out, const ConvShape& shape,
                         const ConvAddends& addends, bool exact) {
    if (!f32_products()) {
        const bool winograd = winograd_bf16_offered(width, height, in, out, shape);
        return conv_node(ctx, winograd ? kWinogradBf16 : kConv2dBf16, winograd ? convolve_winograd_bf16 : convolve_bf16,
                         picture, width, height, picture->ne[3], packed, bias, out, shape, addends);
    }
    const int64_t batch = picture->ne[2] / ceil_div(in, kBlock);
    const bool winograd = !exact && winograd_offered(width, height, batch, in, out, shape);
    return conv_node(ctx, winograd ? kWinograd : kConv2d, winograd ? convolve_winograd : convolve_f32, picture, width,
                     height, batch, packed, bias, out, shape, addends);
}

ggml_tensor* conv_direct(ggml_context* ctx, ggml_tensor* x, ggml_tensor* packed, ggml_tensor* bias, int64_t out,
                         const ConvShape& shape) {
    if (x->nb[0] != sizeof(float)) {
        x = ggml_cont(ctx, x);
    }
    if (conv_takes_packed(packed->type)) {
        return conv_packed(ctx, pack_picture(ctx, x, shape.pad, nullptr), x->ne[0], x->ne[1], x->ne[2], packed, bias,
                           out, shape, {}, true);
    }
    return conv_node(ctx, kConv2d, run, x, x->ne[0], x->ne[1], x->ne[3], packed, bias, out, shape, {});
}

}  // namespace dg
