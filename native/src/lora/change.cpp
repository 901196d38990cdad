#include "lora/change.h"

#include <algorithm>
#include <cmath>

#include "backend/device.h"
#include "base/error.h"
#include "base/parallel.h"
#include "kernels/convert.h"
#include "lora/rotate.h"
#include "model/types.h"

namespace dg {

namespace {

int64_t count_of(const dg_lora_tensor& t) {
    int64_t n = 1;
    for (int32_t i = 0; i < t.dims; i++) {
        n *= t.shape[i];
    }
    return n;
}

// A tensor's values. Callers checked before that all are finite.
std::vector<float> values_of(const WeightShape& w, const char* what, const dg_lora_tensor& t) {
    if (t.data == nullptr || t.dims < 1 || t.dims > 4 || *std::min_element(t.shape, t.shape + t.dims) < 1 ||
        (t.type != DG_TYPE_F32 && t.type != DG_TYPE_F16 && t.type != DG_TYPE_BF16)) {
        fail(DG_ERR_ARGUMENT, "%s: %s: F32, F16 or BF16 in one to four dimensions of at least 1 are wanted",
             w.name.c_str(), what);
    }
    std::vector<float> out(static_cast<size_t>(count_of(t)));
    convert_floats(t.data, to_ggml_type(t.type), out.data(), GGML_TYPE_F32, count_of(t));
    return out;
}

void expect(bool good, const WeightShape& w, const char* what) {
    if (!good) {
        fail(DG_ERR_MODEL, "%s: the shape of %s does not fit a weight of %lld outputs and %lld inputs", w.name.c_str(),
             what, static_cast<long long>(w.out), static_cast<long long>(w.fan_in()));
    }
}

void multiply(std::vector<float>& values, double scale) {
    for (float& v : values) {
        v *= static_cast<float>(scale);
    }
}

// kron(A, B) as a weight [ac][bd].
std::vector<float> kronecker(const Change& c) {
    const int64_t a = c.shape[0], b = c.shape[1], rows = c.shape[2], columns = c.shape[3];
    std::vector<float> out(c.a.size() * c.b.size());
    for (int64_t i = 0; i < a; i++) {
        for (int64_t k = 0; k < rows; k++) {
            for (int64_t j = 0; j < b; j++) {
                for (int64_t l = 0; l < columns; l++) {
                    out[static_cast<size_t>(((i * rows + k) * b + j) * columns + l)] =
                        c.a[static_cast<size_t>(i * b + j)] * c.b[static_cast<size_t>(k * columns + l)];
                }
            }
        }
    }
    return out;
}

Change read_plain(const dg_lora_target& t, const WeightShape& w) {
    const bool matrix    = w.kind == DG_MODULE_LINEAR || w.kind == DG_MODULE_CONV2D;
    const bool of_vector = t.form == DG_LORA_BIAS || t.form == DG_LORA_NORM || t.form == DG_LORA_BIAS_SCALE;
    if (t.form < DG_LORA_LOW_RANK || t.form > DG_LORA_IN_ROTATE) {
        fail(DG_ERR_ARGUMENT, "%s: form %d is none of DG_LORA_*", w.name.c_str(), t.form);
    }
    if (w.kind == DG_MODULE_EMBEDDING || (!matrix && !of_vector) || (matrix && t.form == DG_LORA_NORM)) {
        fail(DG_ERR_UNSUPPORTED, "%s: a change of this form cannot be made to a module of this kind", w.name.c_str());
    }
    Change c;
    c.form             = t.form;
    c.a                = values_of(w, "a", t.a);
    const bool rotates = c.form == DG_LORA_OUT_ROTATE || c.form == DG_LORA_IN_ROTATE;
    if (c.form == DG_LORA_LOW_RANK || c.form == DG_LORA_KRON || c.form == DG_LORA_IN_LOW_RANK ||
        (rotates && t.b.data != nullptr)) {
        c.b = values_of(w, "b", t.b);
    }
    switch (t.form) {
        case DG_LORA_LOW_RANK:
            c.rank = t.a.shape[0];
            expect(count_of(t.a) == c.rank * w.fan_in(), w, "a");
            expect(t.b.shape[0] == w.out && count_of(t.b) == w.out * c.rank, w, "b");
            multiply(c.b, t.scale);
            return c;
        case DG_LORA_KRON:
            expect(t.a.dims == 2, w, "a");
            expect(t.b.dims == 2 && w.kernel == 1 && t.a.shape[0] * t.b.shape[0] == w.out &&
                       t.a.shape[1] * t.b.shape[1] == w.in,
                   w, "b");
            std::copy(t.a.shape, t.a.shape + 2, c.shape);
            std::copy(t.b.shape, t.b.shape + 2, c.shape + 2);
            break;
        case DG_LORA_IN_LOW_RANK:
            c.rank = t.a.shape[0];
            expect(count_of(t.a) == c.rank * w.in, w, "a");
            expect(t.b.shape[0] == w.in && count_of(t.b) == w.in * c.rank, w, "b");
            multiply(c.b, t.scale);
            return c;
        case DG_LORA_OUT_ROTATE:
        case DG_LORA_IN_ROTATE:
            std::copy(t.a.shape, t.a.shape + 4, c.shape);
            expect(t.a.dims == 4 && rotates_all(c.shape, t.form == DG_LORA_OUT_ROTATE ? w.out : w.fan_in()), w, "a");
            expect(t.b.data == nullptr || count_of(t.b) == w.out, w, "b");
            if (std::abs(t.scale - 1.0) > 0) {
                fail(DG_ERR_ARGUMENT, "%s: a rotation must have scale 1", w.name.c_str());
            }
            return c;
        case DG_LORA_DENSE: expect(count_of(t.a) == w.out * w.fan_in(), w, "a"); break;
        case DG_LORA_IN_SCALE: expect(count_of(t.a) == w.in, w, "a"); break;
        default: expect(count_of(t.a) == w.out, w, "a"); break;
    }
    multiply(c.a, t.scale);
    if (c.form == DG_LORA_KRON && w.kind == DG_MODULE_CONV2D) {
        return {DG_LORA_DENSE, 0, {}, kronecker(c), {}};  // a picture's channels are not its fastest dimension
    }
    return c;
}

// m W' / ||W'|| - W = (g - 1) W + g dW with g = m / ||W'||: a scale of the weight, and the change dW times g.
std::vector<Change> weight_decomposed(const dg_lora_target& t, const WeightShape& w, Change c,
                                      const std::vector<float>& base) {
    const bool by_output               = t.magnitude_axis == 0;
    const int64_t count                = by_output ? w.out : w.in;
    const std::vector<float> magnitude = values_of(w, "magnitude", t.magnitude);
    expect(count_of(t.magnitude) == count, w, "magnitude");
    if (c.form == DG_LORA_KRON) {
        c = {DG_LORA_DENSE, 0, {}, kronecker(c), {}};
    }
    std::vector<float> sum = base;
    add_change(c, w, 1, base, sum.data(), 1);
    const int64_t area = w.kernel * w.kernel;
    std::vector<double> square(static_cast<size_t>(count), 0.0);
    for (int64_t o = 0; o < w.out; o++) {
        for (int64_t i = 0; i < w.fan_in(); i++) {
            const double v = static_cast<double>(sum[static_cast<size_t>(o * w.fan_in() + i)]);
            square[static_cast<size_t>(by_output ? o : i / area)] += v * v;
        }
    }
    Change whole;
    whole.form = by_output ? DG_LORA_OUT_SCALE : DG_LORA_IN_SCALE;
    std::vector<float> g(static_cast<size_t>(count));
    for (size_t i = 0; i < g.size(); i++) {
        g[i] = static_cast<float>(static_cast<double>(magnitude[i]) / std::max(std::sqrt(square[i]), 1e-12));
        whole.a.push_back(g[i] - 1);
    }
    // by output, g scales the rows of B or of a dense change; by input, the inputs of A or of a dense change
    std::vector<float>& scaled = by_output && c.form == DG_LORA_LOW_RANK ? c.b : c.a;
    const auto per_output      = static_cast<size_t>(c.form == DG_LORA_LOW_RANK ? c.rank : w.fan_in());
    for (size_t i = 0; i < scaled.size(); i++) {
        scaled[i] *= by_output ? g[i / per_output] : g[i % static_cast<size_t>(w.fan_in()) / static_cast<size_t>(area)];
    }
    return {std::move(whole), std::move(c)};
}

}  // namespace

bool needs_base(const dg_lora_target& target, const WeightShape& weight) {
    return target.magnitude.data != nullptr || (target.form == DG_LORA_IN_ROTATE && weight.wide());
}

std::vector<Change> read_changes(const dg_lora_target& target, const WeightShape& weight,
                                 const std::vector<float>& base) {
    Change plain = read_plain(target, weight);
    if (target.magnitude.data == nullptr) {
        if (plain.form == DG_LORA_IN_ROTATE && weight.wide()) {
            Change dense{DG_LORA_DENSE, 0, {}, std::vector<float>(base.size()), {}};
            add_change(plain, weight, 1, base, dense.a.data(), 1);
            plain = std::move(dense);
        }
        std::vector<Change> one;
        one.push_back(std::move(plain));
        return one;
    }
    if (plain.form > DG_LORA_DENSE) {
        fail(DG_ERR_UNSUPPORTED, "%s: magnitudes go with low-rank, Kronecker and dense changes only",
             weight.name.c_str());
    }
    return weight_decomposed(target, weight, std::move(plain), base);
}

void add_change(const Change& c, const WeightShape& w, float factor, const std::vector<float>& base, float* out,
                int32_t threads) {
    const int64_t n = w.fan_in(), area = w.kernel * w.kernel;
    switch (c.form) {
        case DG_LORA_LOW_RANK:
            in_parallel(w.out, threads, [&](int64_t o) {
                for (int64_t r = 0; r < c.rank; r++) {
                    const float f  = factor * c.b[static_cast<size_t>(o * c.rank + r)];
                    const float* a = &c.a[static_cast<size_t>(r * n)];
                    for (int64_t i = 0; i < n; i++) {
                        out[o * n + i] += f * a[i];
                    }
                }
            });
            return;
        case DG_LORA_IN_SCALE:
        case DG_LORA_OUT_SCALE:
            for (int64_t i = 0; i < w.out * n; i++) {
                const int64_t at = c.form == DG_LORA_IN_SCALE ? i % n / area : i / n;
                out[i] += factor * c.a[static_cast<size_t>(at)] * base[static_cast<size_t>(i)];
            }
            return;
        case DG_LORA_BIAS_SCALE:
            for (size_t i = 0; i < c.a.size(); i++) {
                out[i] += factor * c.a[i] * base[i];
            }
            return;
        case DG_LORA_IN_LOW_RANK: add_in_low_rank(c, w, factor, base, out, threads); return;
        case DG_LORA_OUT_ROTATE:
        case DG_LORA_IN_ROTATE: add_rotated(c, w, factor, base, out, threads); return;
        default:  // of the weight's own shape, a bias or a norm
            const std::vector<float> product = c.form == DG_LORA_KRON ? kronecker(c) : std::vector<float>();
            const std::vector<float>& dense  = c.form == DG_LORA_KRON ? product : c.a;
            for (size_t i = 0; i < dense.size(); i++) {
                out[i] += factor * dense[i];
            }
    }
}

void merge_change(const dg_lora_target& target, double weight, float* w, int32_t dims, const int64_t* shape) {
    if (w == nullptr || shape == nullptr) {
        fail(DG_ERR_ARGUMENT, "%s: is NULL", w == nullptr ? "w" : "shape");
    }
    if ((dims != 1 && dims != 2 && dims != 4) || *std::min_element(shape, shape + dims) < 1 ||
        (dims == 4 && shape[2] != shape[3])) {
        fail(DG_ERR_ARGUMENT, "shape: one, two or four dimensions are wanted, kernels square");
    }
    WeightShape of;
    of.name               = target.module != nullptr ? target.module : "";
    of.kind               = dims == 1 ? DG_MODULE_NORM : dims == 2 ? DG_MODULE_LINEAR : DG_MODULE_CONV2D;
    of.out                = shape[0];
    of.in                 = dims == 1 ? shape[0] : shape[1];
    of.kernel             = dims == 4 ? shape[2] : 1;
    const int32_t threads = default_threads();
    const std::vector<float> base(w, w + (dims > 1 ? of.out * of.fan_in() : of.out));
    for (const Change& c : read_changes(target, of, base)) {
        add_change(c, of, static_cast<float>(weight), base, w, threads);
    }
}

}  // namespace dg
