#include "lora/change.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/error.h"
#include "kernels/convert.h"
#include "model/types.h"

namespace dg {

namespace {

// Calls body(first, last) for parts of [0, n) on several threads.
template <typename Body>
void in_parallel(int64_t n, Body body) {
    const int64_t parts = std::min<int64_t>(n, std::max(1u, std::thread::hardware_concurrency()));
    std::vector<std::thread> pool;
    for (int64_t i = 1; i < parts; i++) {
        pool.emplace_back([=] { body(n * i / parts, n * (i + 1) / parts); });
    }
    body(0, parts > 0 ? n / parts : 0);
    for (std::thread& t : pool) {
        t.join();
    }
}

int64_t count_of(const dg_lora_tensor& t) {
    int64_t n = 1;
    for (int32_t i = 0; i < t.dims; i++) {
        n *= t.shape[i];
    }
    return n;
}

std::string shape_of(const dg_lora_tensor& t) {
    std::string text = "[";
    for (int32_t i = 0; i < t.dims; i++) {
        text += (i > 0 ? ", " : "") + std::to_string(t.shape[i]);
    }
    return text + "]";
}

class Reader {
public:
    Reader(const dg_lora_target& target, const WeightShape& weight) : target_(target), weight_(weight) {}

    // A tensor's values, checked to be finite.
    std::vector<float> values(const char* what, const dg_lora_tensor& t) const {
        check(what, t);
        const int64_t n = count_of(t);
        std::vector<float> out(static_cast<size_t>(n));
        convert_floats(t.data, to_ggml_type(t.type), out.data(), GGML_TYPE_F32, n);
        float bad = 0;
        for (const float v : out) {
            bad += v - v;  // 0, or NaN for what is not finite
        }
        if (bad != 0) {
            fail(DG_ERR_MODEL, "%s: %s holds a value that is not finite", weight_.name.c_str(), what);
        }
        return out;
    }

    void expect(bool good, const char* what, const dg_lora_tensor& t) const {
        if (!good) {
            fail(DG_ERR_MODEL, "%s: %s has shape %s, which does not fit a weight of %lld outputs and %lld inputs",
                 weight_.name.c_str(), what, shape_of(t).c_str(), static_cast<long long>(weight_.out),
                 static_cast<long long>(weight_.fan_in()));
        }
    }

private:
    void check(const char* what, const dg_lora_tensor& t) const {
        if (t.data == nullptr) {
            fail(DG_ERR_ARGUMENT, "%s: %s is NULL", weight_.name.c_str(), what);
        }
        if (t.dims < 1 || t.dims > 4 || *std::min_element(t.shape, t.shape + t.dims) < 1) {
            fail(DG_ERR_MODEL, "%s: %s has shape %s; one to four dimensions of at least 1 are wanted",
                 weight_.name.c_str(), what, shape_of(t).c_str());
        }
        if (t.type != DG_TYPE_F32 && t.type != DG_TYPE_F16 && t.type != DG_TYPE_BF16) {
            fail(DG_ERR_ARGUMENT, "%s: %s is of type %d; F32, F16 and BF16 are read", weight_.name.c_str(), what,
                 t.type);
        }
    }

    const dg_lora_target& target_;
    const WeightShape& weight_;
};

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
    const Reader read(t, w);
    const bool matrix = w.kind == DG_MODULE_LINEAR || w.kind == DG_MODULE_CONV2D;
    const auto scale  = static_cast<float>(t.scale);
    if (!std::isfinite(t.scale)) {
        fail(DG_ERR_MODEL, "%s: its scale is not finite", w.name.c_str());
    }
    if (t.form < DG_LORA_LOW_RANK || t.form > DG_LORA_NORM) {
        fail(DG_ERR_ARGUMENT, "%s: form %d is none of DG_LORA_*", w.name.c_str(), t.form);
    }
    const bool of_vector = t.form == DG_LORA_BIAS || t.form == DG_LORA_NORM;
    if (w.kind == DG_MODULE_EMBEDDING || (!matrix && !of_vector) || (matrix && t.form == DG_LORA_NORM)) {
        fail(DG_ERR_UNSUPPORTED, "%s: a change of this form cannot be made to a module of this kind", w.name.c_str());
    }
    Change c;
    c.form = t.form;
    c.a    = read.values("a", t.a);
    switch (t.form) {
        case DG_LORA_LOW_RANK:
            c.rank = t.a.shape[0];
            c.b    = read.values("b", t.b);
            read.expect(count_of(t.a) == c.rank * w.fan_in(), "a", t.a);
            read.expect(t.b.shape[0] == w.out && count_of(t.b) == w.out * c.rank, "b", t.b);
            for (float& v : c.b) {
                v *= scale;
            }
            return c;
        case DG_LORA_KRON:
            c.b = read.values("b", t.b);
            read.expect(t.a.dims == 2, "a", t.a);
            read.expect(t.b.dims == 2 && w.kernel == 1 && t.a.shape[0] * t.b.shape[0] == w.out &&
                            t.a.shape[1] * t.b.shape[1] == w.in,
                        "b", t.b);
            std::copy(t.a.shape, t.a.shape + 2, c.shape);
            std::copy(t.b.shape, t.b.shape + 2, c.shape + 2);
            break;
        case DG_LORA_DENSE: read.expect(count_of(t.a) == w.out * w.fan_in(), "a", t.a); break;
        case DG_LORA_IN_SCALE: read.expect(count_of(t.a) == w.in, "a", t.a); break;
        default: read.expect(count_of(t.a) == w.out, "a", t.a); break;
    }
    for (float& v : c.a) {
        v *= scale;
    }
    if (c.form == DG_LORA_KRON && w.kind == DG_MODULE_CONV2D) {
        return {DG_LORA_DENSE, 0, {}, kronecker(c), {}};  // a picture's channels are not its fastest dimension
    }
    return c;
}

// m W' / ||W'|| - W = (g - 1) W + g dW with g = m / ||W'||: a scale of the weight, and the change with g taken in.
std::vector<Change> weight_decomposed(const dg_lora_target& t, const WeightShape& w, Change c,
                                      const std::vector<float>& base) {
    const Reader read(t, w);
    const bool by_output               = t.magnitude_axis == 0;
    const int64_t count                = by_output ? w.out : w.in;
    const std::vector<float> magnitude = read.values("magnitude", t.magnitude);
    read.expect(count_of(t.magnitude) == count, "magnitude", t.magnitude);
    if (c.form == DG_LORA_KRON) {
        c = {DG_LORA_DENSE, 0, {}, kronecker(c), {}};
    }
    std::vector<float> sum = base;
    add_change(c, w, 1, base, sum.data());
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
    // g on the rows of B or of a dense change by output, on the inputs of A or of a dense change by input
    std::vector<float>& scaled = by_output && c.form == DG_LORA_LOW_RANK ? c.b : c.a;
    const auto per_output      = static_cast<size_t>(c.form == DG_LORA_LOW_RANK ? c.rank : w.fan_in());
    for (size_t i = 0; i < scaled.size(); i++) {
        scaled[i] *= by_output ? g[i / per_output] : g[i % static_cast<size_t>(w.fan_in()) / static_cast<size_t>(area)];
    }
    return {std::move(whole), std::move(c)};
}

}  // namespace

bool needs_base(const dg_lora_target& target) {
    return target.magnitude.data != nullptr;
}

std::vector<Change> read_changes(const dg_lora_target& target, const WeightShape& weight,
                                 const std::vector<float>& base) {
    Change plain = read_plain(target, weight);
    if (!needs_base(target)) {
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

void add_change(const Change& c, const WeightShape& w, float factor, const std::vector<float>& base, float* out) {
    const int64_t n = w.fan_in(), area = w.kernel * w.kernel;
    switch (c.form) {
        case DG_LORA_LOW_RANK:
            in_parallel(w.out, [&](int64_t first, int64_t last) {
                for (int64_t o = first; o < last; o++) {
                    for (int64_t r = 0; r < c.rank; r++) {
                        const float f  = factor * c.b[static_cast<size_t>(o * c.rank + r)];
                        const float* a = &c.a[static_cast<size_t>(r * n)];
                        for (int64_t i = 0; i < n; i++) {
                            out[o * n + i] += f * a[i];
                        }
                    }
                }
            });
            return;
        case DG_LORA_KRON: {
            const std::vector<float> dense = kronecker(c);
            for (size_t i = 0; i < dense.size(); i++) {
                out[i] += factor * dense[i];
            }
            return;
        }
        case DG_LORA_IN_SCALE:
            for (int64_t i = 0; i < w.out * n; i++) {
                out[i] += factor * c.a[static_cast<size_t>(i % n / area)] * base[static_cast<size_t>(i)];
            }
            return;
        case DG_LORA_OUT_SCALE:
            for (int64_t i = 0; i < w.out * n; i++) {
                out[i] += factor * c.a[static_cast<size_t>(i / n)] * base[static_cast<size_t>(i)];
            }
            return;
        default:  // of the weight's own shape, a bias or a norm
            for (size_t i = 0; i < c.a.size(); i++) {
                out[i] += factor * c.a[i];
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
    if (!std::isfinite(weight)) {
        fail(DG_ERR_ARGUMENT, "weight: is not finite");
    }
    WeightShape of;
    of.name   = target.module != nullptr ? target.module : "";
    of.kind   = dims == 1 ? DG_MODULE_NORM : dims == 2 ? DG_MODULE_LINEAR : DG_MODULE_CONV2D;
    of.out    = shape[0];
    of.in     = dims == 1 ? shape[0] : shape[1];
    of.kernel = dims == 4 ? shape[2] : 1;
    std::vector<float> base;
    if (dims > 1) {
        base.assign(w, w + of.out * of.fan_in());
    }
    for (const Change& c : read_changes(target, of, base)) {
        add_change(c, of, static_cast<float>(weight), base, w);
    }
}

}  // namespace dg
