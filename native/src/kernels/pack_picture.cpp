#include "kernels/pack_picture.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/named.h"
#include "kernels/pack_f32.h"
#include "kernels/tiles.h"
#include "kernels/vecmath.h"

namespace dg {

namespace {

// A node's userdata: the border, and what follows x among its sources.
constexpr uintptr_t kNorm = 1 << 8, kSilu = 1 << 9, kDouble = 1 << 10;

#if defined(__AVX512BF16__)

__mmask16 lanes_of(int64_t left) {
    return static_cast<__mmask16>(left >= kTile ? 0xffff : (1u << left) - 1);
}

// What one channel's values become: scale * x + shift, then SiLU where wanted.
struct ChannelMap {
    __m512 scale = _mm512_set1_ps(1), shift = _mm512_setzero_ps();
    bool normed = false, silu = false;

    ChannelMap(const ggml_tensor* node, uintptr_t flags, int64_t channel, int64_t image) {
        normed = (flags & kNorm) != 0;
        silu   = (flags & kSilu) != 0;
        if (!normed) {
            return;
        }
        const ggml_tensor* stats = node->src[1];
        const int64_t group      = channel / (node->src[0]->ne[2] / stats->ne[1]);
        const float* of          = static_cast<const float*>(stats->data) + 2 * (image * stats->ne[1] + group);
        const float factor       = of[1] * static_cast<const float*>(node->src[2]->data)[channel];
        scale                    = _mm512_set1_ps(factor);
        shift = _mm512_set1_ps(static_cast<const float*>(node->src[3]->data)[channel] - of[0] * factor);
    }

    __m512 operator()(__m512 v) const {
        if (normed) {
            v = _mm512_fmadd_ps(v, scale, shift);
        }
        return silu ? silu16(v) : v;
    }
};

void pack_pairs(ggml_tensor* dst, int ith, int nth, void* userdata) {
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
        const bool both  = 2 * pair + 1 < in;
        const char* even = static_cast<const char*>(x->data) + image * x->nb[3] + 2 * pair * x->nb[2];
        const ChannelMap map_even(dst, flags, 2 * pair, image), map_odd(dst, flags, 2 * pair + (both ? 1 : 0), image);
        std::memset(out, 0, static_cast<size_t>(pad * row) * 4);
        std::memset(out + (height + pad) * row, 0, static_cast<size_t>(pad * row) * 4);
        for (int64_t y = 0; y < height; y++) {
            uint32_t* line = out + (y + pad) * row;
            const auto* a  = reinterpret_cast<const float*>(even + y / scale * x->nb[1]);
            const auto* b  = reinterpret_cast<const float*>(even + x->nb[2] + y / scale * x->nb[1]);
            const auto at  = [&](const float* from, int64_t i) {
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
        const auto* even =
            reinterpret_cast<const float*>(static_cast<const char*>(x->data) + image * x->nb[3] + 2 * pair * x->nb[2]);
        const float* odd = even + pixels;
        auto* out        = static_cast<uint32_t*>(dst->data) + (image * groups * pairs + pair) * kTile;
        const ChannelMap map_even(dst, flags, 2 * pair, image), map_odd(dst, flags, 2 * pair + 1, image);
        for (int64_t g = 0; g < groups; g++, out += pairs * kTile) {
            const __m512 a = map_even(_mm512_loadu_ps(even + g * kTile)), b = map_odd(_mm512_loadu_ps(odd + g * kTile));
            _mm512_storeu_si512(out, pair_up(a, b));
        }
    }
}

#else

// Never run: bf16_products() is false.
void pack_pairs(ggml_tensor*, int, int, void*) {}
void pack_as_tokens(ggml_tensor*, int, int, void*) {}

#endif

uintptr_t flags_of(const PictureNorm* norm) {
    return norm == nullptr ? 0 : kNorm | (norm->silu ? kSilu : 0);
}

ggml_tensor* node(ggml_context* ctx, ggml_custom_op_t function, ggml_tensor* x, const PictureNorm* norm, uintptr_t pad,
                  int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3) {
    ggml_tensor* args[4] = {x};
    if (norm != nullptr) {
        args[1] = norm->stats;
        args[2] = norm->weight;
        args[3] = norm->bias;
    }
    return named(ggml_custom_4d(ctx, GGML_TYPE_BF16, ne0, ne1, ne2, ne3, args, norm != nullptr ? 4 : 1, function,
                                GGML_N_TASKS_MAX, reinterpret_cast<void*>(pad | flags_of(norm))),
                 kPackPicture);
}

}  // namespace

ggml_tensor* pack_picture(ggml_context* ctx, ggml_tensor* x, int pad, const PictureNorm* norm) {
    if (f32_products()) {
        return pack_picture_f32(ctx, x, pad, norm, false);
    }
    const int64_t pairs = (x->ne[2] + kTileDepth - 1) / kTileDepth * kTile;
    return node(ctx, pack_pairs, x, norm, static_cast<uintptr_t>(pad), 2 * (x->ne[0] + 2 * pad), x->ne[1] + 2 * pad,
                pairs, x->ne[3]);
}

ggml_tensor* pack_doubled(ggml_context* ctx, ggml_tensor* x, int pad) {
    if (f32_products()) {
        return pack_picture_f32(ctx, x, pad, nullptr, true);
    }
    const int64_t pairs = (x->ne[2] + kTileDepth - 1) / kTileDepth * kTile;
    return node(ctx, pack_pairs, x, nullptr, static_cast<uintptr_t>(pad) | kDouble, 2 * (2 * x->ne[0] + 2 * pad),
                2 * x->ne[1] + 2 * pad, pairs, x->ne[3]);
}

ggml_tensor* pack_pixels(ggml_context* ctx, ggml_tensor* x, const PictureNorm& norm) {
    if (f32_products()) {
        return pack_pixels_f32(ctx, x, norm);
    }
    return node(ctx, pack_as_tokens, x, &norm, 0, x->ne[2] * kTile, x->ne[0] * x->ne[1] * x->ne[3] / kTile, 1, 1);
}

}  // namespace dg
