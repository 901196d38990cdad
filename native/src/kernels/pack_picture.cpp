#include "kernels/pack_picture.h"

#include <algorithm>
#include <cstring>

#include "kernels/node.h"
#include "kernels/product_f32.h"
#include "kernels/tiles.h"
#include "kernels/vecmath.h"

namespace dg {

namespace {

// A node's userdata: the border, and what is done to the picture. A norm's tensors follow it among the sources.
constexpr uintptr_t kSilu = 1 << 9, kDouble = 1 << 10;

#if defined(__AVX512BF16__) || defined(DG_F32_PRODUCTS)

using vec::Floats;

// What one channel's values become: scale * x + shift, then SiLU where wanted.
struct ChannelMap {
    Floats scale = vec::all(1), shift = vec::all(0);
    bool normed = false, silu = false;

    // Channels that are filled up have the last one's.
    ChannelMap(const ggml_tensor* node, uintptr_t flags, int64_t channel, int64_t image)
        : normed(node->src[1] != nullptr),
          silu((flags & kSilu) != 0) {
        if (!normed) {
            return;
        }
        const ggml_tensor *x = node->src[0], *stats = node->src[1];
        const int64_t c    = std::min(channel, x->ne[2] - 1);
        const float* group = floats_of(stats) + 2 * (image * stats->ne[1] + c / (x->ne[2] / stats->ne[1]));
        const float factor = group[1] * floats_of(node->src[2])[c];
        scale              = vec::all(factor);
        shift              = vec::all(floats_of(node->src[3])[c] - group[0] * factor);
    }

    [[gnu::always_inline]] Floats operator()(Floats v) const {
        if (normed) {
            v = vec::fmadd(v, scale, shift);
        }
        return silu ? vec::silu(v) : v;
    }
};

#endif

#if defined(__AVX512BF16__)

__mmask16 lanes_of(int64_t left) {
    return static_cast<__mmask16>(left >= kTile ? 0xffff : (1u << left) - 1);
}

void pack_lines(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const auto flags     = reinterpret_cast<uintptr_t>(userdata);
    const ggml_tensor* x = dst->src[0];
    const int64_t scale  = (flags & kDouble) != 0 ? 2 : 1;
    const int64_t pad = flags & 0xff, width = scale * x->ne[0], height = scale * x->ne[1], in = x->ne[2];
    const __m512i halves = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    const int64_t pairs = dst->ne[2], row = dst->ne[0] / 2, plane = row * dst->ne[1];
    for (int64_t index = ith; index < pairs * x->ne[3]; index += nth) {
        const int64_t pair = index % pairs, image = index / pairs;
        auto* out = static_cast<uint32_t*>(dst->data) + (image * pairs + pair) * plane;
        if (2 * pair >= in) {
            std::memset(out, 0, static_cast<size_t>(plane) * 4);
            continue;
        }
        const bool both = 2 * pair + 1 < in;
        const ChannelMap map_even(dst, flags, 2 * pair, image), map_odd(dst, flags, 2 * pair + 1, image);
        std::memset(out, 0, static_cast<size_t>(pad * row) * 4);
        std::memset(out + (height + pad) * row, 0, static_cast<size_t>(pad * row) * 4);
        for (int64_t y = 0; y < height; y++) {
            uint32_t* line = out + (y + pad) * row;
            const float *a = row_of(x, y / scale, 2 * pair, image), *b = row_of(x, y / scale, 2 * pair + 1, image);
            const auto at = [&](const float* from, int64_t i) {
                if (scale == 1) {
                    return _mm512_maskz_loadu_ps(lanes_of(width - i), from + i);
                }
                const __m512 half = _mm512_maskz_loadu_ps(lanes_of((width - i) / 2) & 0xff, from + i / 2);
                return _mm512_permutexvar_ps(halves, half);
            };
            std::memset(line, 0, static_cast<size_t>(pad) * 4);
            std::memset(line + pad + width, 0, static_cast<size_t>(pad) * 4);
            for (int64_t i = 0; i < width; i += kTile) {
                const __mmask16 mask = lanes_of(width - i);
                const __m512 va      = map_even(at(a, i));
                const __m512 vb      = both ? map_odd(at(b, i)) : _mm512_setzero_ps();
                _mm512_mask_storeu_epi32(line + pad + i, mask, pair_up(va, vb));
            }
        }
    }
}

void pack_as_tokens(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const auto flags     = reinterpret_cast<uintptr_t>(userdata);
    const ggml_tensor* x = dst->src[0];
    const int64_t pixels = x->ne[0] * x->ne[1], in = x->ne[2], groups = pixels / kTile, pairs = in / 2;
    for (int64_t index = ith; index < pairs * x->ne[3]; index += nth) {
        const int64_t pair = index % pairs, image = index / pairs;
        const float* even = row_of(x, 0, 2 * pair, image);
        const float* odd  = even + pixels;
        auto* out         = static_cast<uint32_t*>(dst->data) + (image * groups * pairs + pair) * kTile;
        const ChannelMap map_even(dst, flags, 2 * pair, image), map_odd(dst, flags, 2 * pair + 1, image);
        for (int64_t g = 0; g < groups; g++, out += pairs * kTile) {
            const __m512 a = map_even(_mm512_loadu_ps(even + g * kTile)), b = map_odd(_mm512_loadu_ps(odd + g * kTile));
            _mm512_storeu_si512(out, pair_up(a, b));
        }
    }
}

#elif defined(DG_F32_PRODUCTS)

// One line of a picture for eight channels, from its first pixel inside the border on; zeros where x has no channels.
void pack_line(const ggml_tensor* x, const ChannelMap* maps, int64_t y, int64_t channel, int64_t image, int64_t scale,
               float* out) {
    for (int64_t i = 0; i < x->ne[0]; i += 8) {
        Floats r[8];
        const int64_t count = std::min<int64_t>(8, x->ne[0] - i);
        for (int c = 0; c < 8; c++) {
            if (channel + c >= x->ne[2]) {
                r[c] = vec::all(0);
                continue;
            }
            const float* from = row_of(x, y, channel + c, image) + i;
            r[c]              = maps[c](count == 8 ? vec::load(from) : load_first(from, count));
        }
        transpose8(r);
        for (int64_t k = 0; k < count; k++) {
            for (int64_t twice = 0; twice < scale; twice++) {
                vec::store(out + (scale * (i + k) + twice) * kBlock, r[k]);
            }
        }
    }
}

std::vector<ChannelMap> eight_maps(const ggml_tensor* node, uintptr_t flags, int64_t channel, int64_t image) {
    std::vector<ChannelMap> maps;
    for (int64_t i = 0; i < 8; i++) {
        maps.emplace_back(node, flags, channel + i, image);
    }
    return maps;
}

// Lines are shared out, those of one channel block after those of another.
void pack_lines(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const auto flags      = reinterpret_cast<uintptr_t>(userdata);
    const ggml_tensor* x  = dst->src[0];
    const int64_t scale   = (flags & kDouble) != 0 ? 2 : 1;
    const auto pad        = static_cast<int64_t>(flags & 0xff);
    const int64_t blocks  = ceil_div(x->ne[2], kBlock);
    const int64_t columns = scale * x->ne[0] + 2 * pad, line = columns * kBlock, lines = scale * x->ne[1] + 2 * pad;
    const int64_t units = blocks * x->ne[3] * 4;  // eight channels of a block at a time
    for (int64_t unit = units * ith / nth; unit < units * (ith + 1) / nth; unit++) {
        const int64_t block = unit / 4 % blocks, image = unit / 4 / blocks, channel = block * kBlock + unit % 4 * 8;
        float* plane = static_cast<float*>(dst->data) + (image * blocks + block) * dst->ne[1] * kBlock + unit % 4 * 8;
        const auto maps  = eight_maps(dst, flags, channel, image);
        const auto clear = [&](int64_t y, int64_t from, int64_t to) {
            for (int64_t i = from; i < to; i++) {
                vec::store(plane + y * line + i * kBlock, vec::all(0));
            }
        };
        for (int64_t y = 0; y < pad; y++) {
            clear(y, 0, columns);
            clear(lines - 1 - y, 0, columns);
        }
        for (int64_t y = pad; y < lines - pad; y++) {
            clear(y, 0, pad);
            clear(y, columns - pad, columns);
            if (scale == 2 && (y - pad) % 2 == 1) {
                const float* above = plane + (y - 1) * line;
                for (int64_t i = pad; i < columns - pad; i++) {
                    vec::store(plane + y * line + i * kBlock, vec::load(above + i * kBlock));
                }
                continue;
            }
            pack_line(x, maps.data(), (y - pad) / scale, channel, image, scale, plane + y * line + pad * kBlock);
        }
    }
}

// Pixels as tokens: blocks of channels outermost, pictures one after the other in each.
void pack_as_tokens(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const auto flags     = reinterpret_cast<uintptr_t>(userdata);
    const ggml_tensor* x = dst->src[0];
    const int64_t units = x->ne[2] / 8 * x->ne[3], pixels = x->ne[0] * x->ne[1];
    for (int64_t unit = units * ith / nth; unit < units * (ith + 1) / nth; unit++) {
        const int64_t channel = unit % (x->ne[2] / 8) * 8, image = unit / (x->ne[2] / 8);
        float* out = static_cast<float*>(dst->data) + (channel / kBlock * dst->ne[1] + image * pixels) * kBlock +
                     channel % kBlock;
        const auto maps = eight_maps(dst, flags, channel, image);
        for (int64_t y = 0; y < x->ne[1]; y++) {
            pack_line(x, maps.data(), y, channel, image, 1, out + y * x->ne[0] * kBlock);
        }
    }
}

#else

// Never run: there are no such products.
void pack_lines(ggml_tensor*, int, int, void*) {}
void pack_as_tokens(ggml_tensor*, int, int, void*) {}

#endif

using Shape = std::array<int64_t, 4>;

ggml_tensor* node(ggml_context* ctx, ggml_custom_op_t function, ggml_tensor* x, const PictureNorm* norm,
                  uintptr_t flags, const Shape& f32, const Shape& bf16) {
    const PictureNorm n = norm != nullptr ? *norm : PictureNorm();
    return custom_node(ctx, kPackPicture, function, f32_products() ? GGML_TYPE_F32 : GGML_TYPE_BF16,
                       f32_products() ? f32 : bf16, {x, n.stats, n.weight, n.bias}, flags | (n.silu ? kSilu : 0));
}

}  // namespace

ggml_tensor* pack_picture(ggml_context* ctx, ggml_tensor* x, int pad, const PictureNorm* norm, bool doubled) {
    const int64_t scale = doubled ? 2 : 1, width = scale * x->ne[0] + 2 * pad, height = scale * x->ne[1] + 2 * pad;
    return node(ctx, pack_lines, x, norm, static_cast<uintptr_t>(pad) | (doubled ? kDouble : 0),
                {kBlock, padded_rows(width * height), ceil_div(x->ne[2], kBlock) * x->ne[3], 1},
                {2 * width, height, ceil_div(x->ne[2], kTileDepth) * kTile, x->ne[3]});
}

ggml_tensor* pack_pixels(ggml_context* ctx, ggml_tensor* x, const PictureNorm& norm) {
    const int64_t pixels = x->ne[0] * x->ne[1] * x->ne[3];
    return node(ctx, pack_as_tokens, x, &norm, 0, {kBlock, padded_rows(pixels), x->ne[2] / kBlock, 1},
                {x->ne[2] * kTile, pixels / kTile, 1, 1});
}

}  // namespace dg
