#include "kernels/conv_problem_f32.h"

namespace dg {

// Tiles below which transforming the weights takes more time than is saved: at 8 it took as long as the direct way, at 32 less
// than half.
constexpr int64_t kLeastTiles = 16;

bool winograd_offered(int64_t width, int64_t height, int64_t batch, int64_t in, int64_t out, const ConvShape& shape) {
    return shape.kernel == 3 && shape.stride == 1 && shape.pad == 1 && width % 4 == 0 && height % 4 == 0 &&
           in >= kBlock && out >= kPanel && width * height * batch >= 16 * kLeastTiles;
}

#if defined(DG_F32_PRODUCTS)

namespace {

constexpr int64_t kPoints     = 36;  // of a transformed tile
constexpr int64_t kUnitTiles  = 64;  // tiles of 4 x 4 pixels for which weights are transformed once
constexpr int64_t kSliceSteps = 2;  // blocks of channels whose transformed weights are kept at a time: 144 KiB

// B^T d of six values.
inline void input_line(const Floats d[6], Floats o[6]) {
    const Floats two = vec::all(2), four = vec::all(4), five = vec::all(5);
    const Floats a = vec::fnmadd(four, d[2], d[4]), b = vec::fnmadd(four, d[1], d[3]);
    const Floats c = d[4] - d[2], e = two * (d[3] - d[1]);
    o[0] = vec::fmadd(four, d[0], vec::fnmadd(five, d[2], d[4]));
    o[1] = a + b;
    o[2] = a - b;
    o[3] = c + e;
    o[4] = c - e;
    o[5] = vec::fmadd(four, d[1], vec::fnmadd(five, d[3], d[5]));
}

// G g of three values.
inline void weight_line(const Floats g[3], Floats o[6]) {
    const Floats sixth = vec::all(-1.0f / 6), twelfth = vec::all(1.0f / 12);
    const Floats ends = sixth * (g[0] + g[2]), mid = sixth * g[1];
    const Floats far = vec::fmadd(vec::all(1.0f / 24), g[0], vec::all(1.0f / 6) * g[2]);
    o[0]             = vec::all(0.25f) * g[0];
    o[1]             = ends + mid;
    o[2]             = ends - mid;
    o[3]             = vec::fmadd(twelfth, g[1], far);
    o[4]             = vec::fnmadd(twelfth, g[1], far);
    o[5]             = g[2];
}

// A^T m of six values.
inline void output_line(const Floats m[6], Floats o[4]) {
    const Floats a = m[1] + m[2], b = m[1] - m[2];
    const Floats c = m[3] + m[4], d = m[3] - m[4];
    o[0] = m[0] + (a + c);
    o[1] = vec::fmadd(vec::all(2), d, b);
    o[2] = vec::fmadd(vec::all(4), c, a);
    o[3] = m[5] + vec::fmadd(vec::all(8), d, b);
}

// Both passes of a transform: line() for every column, then for every line of that. load(y, x) gives the values,
// store(y, line) takes a line of the result.
template <int In, int Out, typename Line, typename Load, typename Store>
[[gnu::always_inline]] inline void transform(Line line, Load load, Store store) {
    Floats columns[In][Out], from[In], to[Out];  // [x][transformed y]
    for (int x = 0; x < In; x++) {
        for (int y = 0; y < In; y++) {
            from[y] = load(y, x);
        }
        line(from, columns[x]);
    }
    for (int y = 0; y < Out; y++) {
        for (int x = 0; x < In; x++) {
            from[x] = columns[x][y];
        }
        line(from, to);
        store(y, to);
    }
}

struct Tiles {
    int64_t across, each;  // tiles in a line and in a picture

    explicit Tiles(const F32Problem& p) : across(p.out_width / 4), each(p.pixels / 16) {}
    int64_t image(int64_t tile) const { return tile / each; }
    int64_t x(int64_t tile) const { return tile % each % across * 4; }
    int64_t y(int64_t tile) const { return tile % each / across * 4; }
};

// The inputs of `count` tiles from `first` on: to[block][point][tile][32].
void transform_inputs(const F32Problem& p, const Tiles& tiles, int64_t first, int64_t count, float* to) {
    for (int64_t block = 0; block < p.blocks; block++) {
        for (int64_t t = 0; t < count; t++) {
            const int64_t tile = first + t;
            const float* from  = p.values + (tiles.image(tile) * p.blocks + block) * p.plane + tiles.y(tile) * p.line +
                                tiles.x(tile) * kBlock;
            for (int64_t c = 0; c < kBlock; c += 8) {
                float* out = to + (block * kPoints * count + t) * kBlock + c;
                transform<6, 6>(
                    input_line, [&](int y, int x) { return vec::load(from + y * p.line + x * kBlock + c); },
                    [&](int y, const Floats* o) {
                        for (int x = 0; x < 6; x++) {
                            vec::store(out + (y * 6 + x) * count * kBlock, o[x]);
                        }
                    });
            }
        }
    }
}

// A panel's weights for `depth` channels of one block, packed as [tap][channel][16]: to[point * stride + channel * 16 + output].
template <ggml_type Type>
void transform_weights(const void* weights, int64_t at, int64_t depth, int64_t stride, float* to) {
    for (int64_t i = 0; i < depth * kPanel; i += 8) {
        transform<3, 6>(
            weight_line, [&](int y, int x) { return load8<Type>(weights, at + (y * 3 + x) * depth * kPanel + i); },
            [&](int y, const Floats* o) {
                for (int x = 0; x < 6; x++) {
                    vec::store(to + (y * 6 + x) * stride + i, o[x]);
                }
            });
    }
}

void transform_weights(const ggml_tensor* w, int64_t at, int64_t depth, int64_t stride, float* to) {
    switch (w->type) {
        case GGML_TYPE_F16: transform_weights<GGML_TYPE_F16>(w->data, at, depth, stride, to); break;
        case GGML_TYPE_BF16: transform_weights<GGML_TYPE_BF16>(w->data, at, depth, stride, to); break;
        default: transform_weights<GGML_TYPE_F32>(w->data, at, depth, stride, to); break;
    }
}

// Four pixels of a line for the eight channels from `channel` on: v[pixel] holds the channels.
void store_line(const F32Problem& p, int64_t image, int64_t pixel, int64_t channel, const Floats v[4]) {
    for (int half = 0; half < 2; half++) {
        Quad r[4];
        for (int i = 0; i < 4; i++) {
            r[i] = half_of(v[i], half);
        }
        transpose4(r);
        const int64_t first = channel + half * 4, count = std::min<int64_t>(4, p.out - first);
        for (int64_t i = 0; i < count; i++) {
            const int64_t at = (image * p.out + first + i) * p.pixels + pixel;
            Quad sum         = r[i] + all4(p.added_to(first + i, image));
            if (p.residual != nullptr) {
                sum = sum + load4(p.residual + at);
            }
            store4(p.y + at, sum);
        }
    }
}

// sums[point][tile][16] of one panel -> pixels.
void transform_outputs(const F32Problem& p, const Tiles& tiles, int64_t panel, int64_t first, int64_t count,
                       const float* sums) {
    for (int64_t t = 0; t < count; t++) {
        const int64_t tile = first + t, image = tiles.image(tile);
        const int64_t pixel = tiles.y(tile) * p.out_width + tiles.x(tile);
        for (int64_t c = 0; c < kPanel; c += 8) {
            transform<6, 4>(
                output_line, [&](int y, int x) { return vec::load(sums + ((y * 6 + x) * count + t) * kPanel + c); },
                [&](int y, const Floats* o) { store_line(p, image, pixel + y * p.out_width, panel * kPanel + c, o); });
        }
    }
}

// Products of all points of one panel, over all channels.
void multiply_points(const F32Problem& p, int64_t panel, int64_t count, const float* inputs, const int64_t* rows,
                     float* weights, float* sums) {
    constexpr int64_t kStride = kSliceSteps * kBlock * kPanel;  // from one point's weights to the next one's
    for (int64_t b = 0; b < p.blocks; b += kSliceSteps) {
        Step steps[kSliceSteps];
        const int64_t n = std::min(kSliceSteps, p.blocks - b);
        for (int64_t i = 0; i < n; i++) {
            const int64_t depth = std::min(kBlock, p.in - (b + i) * kBlock);
            const int64_t at    = (panel * p.in + (b + i) * kBlock) * 9 * kPanel;
            transform_weights(p.weights, at, depth, kStride, weights + i * kBlock * kPanel);
            steps[i] = {(b + i) * kPoints * count * kBlock, static_cast<int32_t>(depth)};
        }
        for (int64_t point = 0; point < kPoints; point++) {
            multiply_panels(inputs + point * count * kBlock, rows, count, steps, n, weights + point * kStride, 0, 1,
                            sums + point * count * kPanel, b == 0);
        }
    }
}

}  // namespace

void convolve_winograd(ggml_tensor* dst, int ith, int nth, void* userdata) {
    const F32Problem p(dst, userdata);
    const Tiles tiles(p);
    thread_local std::vector<float> inputs, weights, sums;
    int64_t rows[kUnitTiles + 1];
    for (int64_t i = 0; i <= kUnitTiles; i++) {
        rows[i] = i * kBlock;
    }
    const Units units(tiles.each * p.batch, ceil_div(p.out, kPanel), nth, kUnitTiles);
    weights.resize(static_cast<size_t>(kPoints * kSliceSteps * kBlock * kPanel));
    for (int64_t unit = ith; unit < units.count(); unit += nth) {
        const int64_t first = units.first_row(unit), count = units.last_row(unit) - first;
        inputs.resize(static_cast<size_t>(p.blocks * kPoints * count * kBlock + kMaxRows * kBlock));
        sums.resize(static_cast<size_t>(kPoints * count * kPanel));
        transform_inputs(p, tiles, first, count, inputs.data());
        for (int64_t panel = units.first_panel(unit); panel < units.last_panel(unit); panel++) {
            multiply_points(p, panel, count, inputs.data(), rows, weights.data(), sums.data());
            transform_outputs(p, tiles, panel, first, count, sums.data());
        }
    }
}

#else

void convolve_winograd(ggml_tensor*, int, int, void*) {}

#endif

}  // namespace dg
