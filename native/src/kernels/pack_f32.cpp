#include "kernels/pack_f32.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/named.h"
#include "kernels/product_f32.h"
#include "kernels/vecmath.h"

namespace dg {

namespace {

// A node's userdata: the border, and what is done to the picture.
constexpr uintptr_t kNorm = 1 << 8, kSilu = 1 << 9, kDouble = 1 << 10;

#if defined(DG_F32_PRODUCTS)

// What the values of eight channels of one picture become: scale * x + shift, then SiLU where wanted.
struct ChannelMap {
    float scale[8], shift[8];
    bool normed, silu;

    ChannelMap(const ggml_tensor* node, uintptr_t flags, int64_t channel, int64_t image) {
        normed = (flags & kNorm) != 0;
        silu   = (flags & kSilu) != 0;
        if (!normed) {
            return;
        }
        const ggml_tensor *x = node->src[0], *stats = node->src[1];
        const auto* weight = static_cast<const float*>(node->src[2]->data);
        const auto* bias   = static_cast<const float*>(node->src[3]->data);
        for (int64_t i = 0; i < 8; i++) {
            const int64_t c = std::min(channel + i, x->ne[2] - 1);
            const auto* group =
                static_cast<const float*>(stats->data) + 2 * (image * stats->ne[1] + c / (x->ne[2] / stats->ne[1]));
            scale[i] = group[1] * weight[c];
            shift[i] = bias[c] - group[0] * scale[i];
        }
    }

    __m256 operator()(__m256 v, int i) const {
        if (normed) {
            v = _mm256_fmadd_ps(v, _mm256_set1_ps(scale[i]), _mm256_set1_ps(shift[i]));
        }
        return silu ? silu8(v) : v;
    }
};

const float* row_of(const ggml_tensor* x, int64_t y, int64_t channel, int64_t image) {
    const auto at = static_cast<size_t>(image) * x->nb[3] + static_cast<size_t>(channel) * x->nb[2] +
                    static_cast<size_t>(y) * x->nb[1];
    return reinterpret_cast<const float*>(static_cast<const char*>(x->data) + at);
}

// Eight channels of up to eight neighbouring pixels: r[pixel] holds the channels, zeros where x has none.
void load_pixels(const ggml_tensor* x, const ChannelMap& map, int64_t i, int64_t y, int64_t channel, int64_t image,
                 __m256 r[8]) {
    const int64_t left = x->ne[0] - i;
    const __m256i mask = lanes_below(left);
    for (int c = 0; c < 8; c++) {
        if (channel + c >= x->ne[2]) {
            r[c] = _mm256_setzero_ps();
            continue;
        }
        const float* from = row_of(x, y, channel + c, image) + i;
        r[c]              = map(left >= 8 ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, mask), c);
    }
    transpose8(r);
}

// One line of a picture, from its first pixel inside the border on.
void pack_line(const ggml_tensor* x, const ChannelMap& map, int64_t y, int64_t channel, int64_t image, int64_t scale,
               float* out) {
    for (int64_t i = 0; i < x->ne[0]; i += 8) {
        __m256 r[8];
        load_pixels(x, map, i, y, channel, image, r);
        const int64_t count = std::min<int64_t>(8, x->ne[0] - i);
        for (int64_t k = 0; k < count; k++) {
            for (int64_t twice = 0; twice < scale; twice++) {
                _mm256_storeu_ps(out + (scale * (i + k) + twice) * kBlock, r[k]);
            }
        }
    }
}

// Lines are shared out, those of one channel block after those of another.
void pack_lines(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const auto flags      = reinterpret_cast<uintptr_t>(userdata);
    const ggml_tensor* x  = dst->src[0];
    const int64_t scale   = (flags & kDouble) != 0 ? 2 : 1;
    const auto pad        = static_cast<int64_t>(flags & 0xff);
    const int64_t blocks  = blocks_of(x->ne[2], kBlock);
    const int64_t columns = scale * x->ne[0] + 2 * pad, line = columns * kBlock, lines = scale * x->ne[1] + 2 * pad;
    const int64_t units = blocks * x->ne[3] * 4;  // eight channels of a block at a time
    for (int64_t unit = units * ith / nth; unit < units * (ith + 1) / nth; unit++) {
        const int64_t block = unit / 4 % blocks, image = unit / 4 / blocks, channel = block * kBlock + unit % 4 * 8;
        float* plane = static_cast<float*>(dst->data) + (image * blocks + block) * dst->ne[1] * kBlock + unit % 4 * 8;
        const ChannelMap map(dst, flags, channel, image);
        const auto clear = [&](int64_t y, int64_t from, int64_t to) {
            for (int64_t i = from; i < to; i++) {
                _mm256_storeu_ps(plane + y * line + i * kBlock, _mm256_setzero_ps());
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
                    _mm256_storeu_ps(plane + y * line + i * kBlock, _mm256_loadu_ps(above + i * kBlock));
                }
                continue;
            }
            pack_line(x, map, (y - pad) / scale, channel, image, scale, plane + y * line + pad * kBlock);
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
        const ChannelMap map(dst, flags, channel, image);
        for (int64_t y = 0; y < x->ne[1]; y++) {
            pack_line(x, map, y, channel, image, 1, out + y * x->ne[0] * kBlock);
        }
    }
}

float total(__m256 v) {
    float lanes[8];
    _mm256_storeu_ps(lanes, v);
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

// Each of these makes eight values of one token out of its row of x: begin() is given the row, at() does the rest.

struct Plain {
    void begin(const float* row, int64_t, const ggml_tensor*, float) { x = row; }
    __m256 at(int64_t k) const { return _mm256_loadu_ps(x + k); }

    const float* x = nullptr;
};

struct LayerNorm {
    void begin(const float* row, int64_t in, const ggml_tensor* node, float eps) {
        x          = row;
        weight     = static_cast<const float*>(node->src[1]->data);
        bias       = static_cast<const float*>(node->src[2]->data);
        __m256 sum = _mm256_setzero_ps();
        for (int64_t k = 0; k < in; k += 8) {
            sum = _mm256_add_ps(sum, _mm256_loadu_ps(x + k));
        }
        mean          = _mm256_set1_ps(total(sum) / static_cast<float>(in));
        __m256 square = _mm256_setzero_ps();
        for (int64_t k = 0; k < in; k += 8) {
            const __m256 d = _mm256_sub_ps(_mm256_loadu_ps(x + k), mean);
            square         = _mm256_fmadd_ps(d, d, square);
        }
        scale = _mm256_set1_ps(1.0f / std::sqrt(total(square) / static_cast<float>(in) + eps));
    }
    __m256 at(int64_t k) const {
        const __m256 n = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + k), mean), scale);
        return _mm256_fmadd_ps(n, _mm256_loadu_ps(weight + k), _mm256_loadu_ps(bias + k));
    }

    const float *x = nullptr, *weight = nullptr, *bias = nullptr;
    __m256 mean, scale;
};

struct Scaled {
    void begin(const float* row, int64_t, const ggml_tensor* node, float) {
        x      = row;
        scales = static_cast<const float*>(node->src[1]->data);
    }
    __m256 at(int64_t k) const { return _mm256_mul_ps(_mm256_loadu_ps(x + k), _mm256_loadu_ps(scales + k)); }

    const float *x = nullptr, *scales = nullptr;
};

struct Geglu {
    void begin(const float* row, int64_t in, const ggml_tensor*, float) {
        x    = row;
        gate = row + in;
    }
    __m256 at(int64_t k) const { return _mm256_mul_ps(_mm256_loadu_ps(x + k), gelu8(_mm256_loadu_ps(gate + k))); }

    const float *x = nullptr, *gate = nullptr;
};

struct Gelu {
    void begin(const float* row, int64_t, const ggml_tensor*, float) { x = row; }
    __m256 at(int64_t k) const { return gelu8(_mm256_loadu_ps(x + k)); }

    const float* x = nullptr;
};

struct QuickGelu {
    void begin(const float* row, int64_t, const ggml_tensor*, float) { x = row; }
    __m256 at(int64_t k) const { return quick_gelu8(_mm256_loadu_ps(x + k)); }

    const float* x = nullptr;
};

template <typename Row>
void pack(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const ggml_tensor* x = dst->src[0];
    const auto number    = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(userdata));
    float value;
    std::memcpy(&value, &number, sizeof value);
    const int64_t tokens = x->ne[1] * x->ne[2] * x->ne[3], in = dst->ne[2] * kBlock;
    for (int64_t t = tokens * ith / nth; t < tokens * (ith + 1) / nth; t++) {
        const int64_t t1 = t % x->ne[1], t2 = t / x->ne[1] % x->ne[2], t3 = t / (x->ne[1] * x->ne[2]);
        Row row;
        row.begin(row_of(x, t1, t2, t3), in, dst, value);
        float* out = static_cast<float*>(dst->data) + t * kBlock;
        for (int64_t k = 0; k < in; k += kBlock, out += dst->ne[1] * kBlock) {
            for (int64_t i = 0; i < kBlock; i += 8) {
                _mm256_storeu_ps(out + i, row.at(k + i));
            }
        }
    }
}

ggml_custom_op_t packer(TokenMap map) {
    switch (map) {
        case TokenMap::kLayerNorm: return pack<LayerNorm>;
        case TokenMap::kScaled: return pack<Scaled>;
        case TokenMap::kGeglu: return pack<Geglu>;
        case TokenMap::kGelu: return pack<Gelu>;
        case TokenMap::kQuickGelu: return pack<QuickGelu>;
        default: return pack<Plain>;
    }
}

#else

// Never run: f32_products() is false.
void pack_lines(ggml_tensor*, int, int, void*) {}
void pack_as_tokens(ggml_tensor*, int, int, void*) {}
ggml_custom_op_t packer(TokenMap) {
    return pack_lines;
}

#endif

ggml_tensor* node(ggml_context* ctx, ggml_custom_op_t function, ggml_tensor* x, const PictureNorm* norm,
                  uintptr_t flags, int64_t rows, int64_t blocks) {
    ggml_tensor* args[4] = {x};
    if (norm != nullptr) {
        args[1] = norm->stats;
        args[2] = norm->weight;
        args[3] = norm->bias;
        flags |= kNorm | (norm->silu ? kSilu : 0);
    }
    return named(ggml_custom_4d(ctx, GGML_TYPE_F32, kBlock, padded_rows(rows), blocks, 1, args, norm != nullptr ? 4 : 1,
                                function, GGML_N_TASKS_MAX, reinterpret_cast<void*>(flags)),
                 kPackPicture);
}

}  // namespace

ggml_tensor* pack_picture_f32(ggml_context* ctx, ggml_tensor* x, int pad, const PictureNorm* norm, bool doubled) {
    const int64_t scale = doubled ? 2 : 1;
    return node(ctx, pack_lines, x, norm, static_cast<uintptr_t>(pad) | (doubled ? kDouble : 0),
                (scale * x->ne[0] + 2 * pad) * (scale * x->ne[1] + 2 * pad), blocks_of(x->ne[2], kBlock) * x->ne[3]);
}

ggml_tensor* pack_pixels_f32(ggml_context* ctx, ggml_tensor* x, const PictureNorm& norm) {
    return node(ctx, pack_as_tokens, x, &norm, 0, x->ne[0] * x->ne[1] * x->ne[3], x->ne[2] / kBlock);
}

ggml_tensor* pack_tokens_f32(ggml_context* ctx, ggml_tensor* x, TokenMap map, ggml_tensor* weight, ggml_tensor* bias,
                             float eps) {
    uint32_t bits;
    std::memcpy(&bits, &eps, sizeof bits);
    ggml_tensor* args[] = {x, weight, bias};
    const int count     = weight == nullptr ? 1 : bias == nullptr ? 2 : 3;
    const int64_t in    = map == TokenMap::kGeglu ? x->ne[0] / 2 : x->ne[0];
    return named(
        ggml_custom_4d(ctx, GGML_TYPE_F32, kBlock, padded_rows(x->ne[1] * x->ne[2] * x->ne[3]), in / kBlock, 1, args,
                       count, packer(map), GGML_N_TASKS_MAX, reinterpret_cast<void*>(static_cast<uintptr_t>(bits))),
        kPackTokens);
}

}  // namespace dg
