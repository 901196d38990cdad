#include "modules/unet_change.h"

#include <algorithm>
#include <cmath>

#include "modules/ops.h"

namespace dg {

namespace {

constexpr double kPi = 3.14159265358979323846;

// Rows of a and then those of b. NULL is nothing.
ggml_tensor* joined(GraphBuilder& g, ggml_tensor* a, ggml_tensor* b) {
    if (a == nullptr || b == nullptr) {
        return a == nullptr ? b : a;
    }
    return ggml_concat(g.ctx, a, b, 2);
}

bool at(const ChangeShape::Names& names, const std::string& name) {
    return names != nullptr && names->count(name) > 0;
}

// A Gaussian over n cells as a matrix [n, n]: torch's conv2d after reflect padding, with a kernel of at most n cells (one more if n is
// even). The reference is SEG-SDXL's gaussian_blur_2d.
std::vector<float> blur_matrix(int64_t n, double sigma) {
    const auto wanted  = static_cast<int64_t>(std::ceil(6 * sigma));
    const int64_t size = std::min(wanted + 1 - wanted % 2, n - (n % 2 - 1));
    std::vector<double> kernel(static_cast<size_t>(size));
    double sum = 0;
    for (int64_t i = 0; i < size; i++) {
        const double x                        = static_cast<double>(i) - static_cast<double>(size - 1) / 2;
        sum += kernel[static_cast<size_t>(i)] = std::exp(-0.5 * (x / sigma) * (x / sigma));
    }
    std::vector<float> out(static_cast<size_t>(n * n), 0.0f);
    for (int64_t to = 0; to < n; to++) {
        for (int64_t i = 0; i < size; i++) {
            int64_t from = to + i - size / 2;
            while (n > 1 && (from < 0 || from >= n)) {
                from = from < 0 ? -from : 2 * (n - 1) - from;
            }
            from = n > 1 ? from : 0;
            out[static_cast<size_t>(to * n + from)] += static_cast<float>(kernel[static_cast<size_t>(i)] / sum);
        }
    }
    return out;
}

// FreeU multiplies by s the four coefficients of the Fourier transform with the frequencies 0 and -1, and takes the real part of the
// picture. That adds (s - 1) times these waves to it. from: the waves, [waves][cells]; to: [cells][waves], with the weights.
void fill_waves(int64_t width, int64_t height, float s, std::vector<float>* from, std::vector<float>* to) {
    const int64_t cells = width * height;
    from->assign(static_cast<size_t>(cells * kFreeuWaves), 0.0f);
    to->assign(static_cast<size_t>(cells * kFreeuWaves), 0.0f);
    const double weight = (static_cast<double>(s) - 1) / static_cast<double>(cells);
    const auto put      = [&](int64_t wave, int64_t cell, double value) {
        (*from)[static_cast<size_t>(wave * cells + cell)]     = static_cast<float>(value);
        (*to)[static_cast<size_t>(cell * kFreeuWaves + wave)] = static_cast<float>(value * weight);
    };
    for (int64_t y = 0; y < height; y++) {
        for (int64_t x = 0; x < width; x++) {
            const int64_t cell  = y * width + x;
            const double across = 2 * kPi * static_cast<double>(x) / static_cast<double>(width);
            const double down   = 2 * kPi * static_cast<double>(y) / static_cast<double>(height);
            put(0, cell, 1);
            if (width > 1) {
                put(1, cell, std::cos(across));
                put(2, cell, std::sin(across));
            }
            if (height > 1) {
                put(3, cell, std::cos(down));
                put(4, cell, std::sin(down));
            }
            if (width > 1 && height > 1) {
                put(5, cell, std::cos(across + down));
                put(6, cell, std::sin(across + down));
            }
        }
    }
}

}  // namespace

std::string ChangeShape::key() const {
    std::string out;
    const auto add   = [&](const std::string& text) { out += " " + text; };
    const auto names = [&](const Names& list) {
        for (const std::string& name : *list) {
            add(name);
        }
    };
    if (identity > 0) {
        add("identity " + std::to_string(identity));
        names(identity_layers);
    }
    if (blurred > 0) {
        add((uniform ? "mean " : "blurred ") + std::to_string(blurred));
        names(blurred_layers);
    }
    if (freeu) {
        add("freeu");
        for (const float x : {s[0], s[1], b[0], b[1]}) {
            add(std::to_string(x));
        }
    }
    return out;
}

bool ChangeShape::blurs(size_t level) const {
    if (blurred == 0 || uniform) {
        return false;
    }
    const auto here = [&](const std::string& name) {
        const std::string down = "down_blocks." + std::to_string(level) + ".";
        const std::string up   = "up_blocks." + std::to_string(levels.size() - 1 - level) + ".";
        return name.compare(0, down.size(), down) == 0 || name.compare(0, up.size(), up) == 0 ||
               (level + 1 == levels.size() && name.compare(0, 9, "mid_block") == 0);
    };
    return std::any_of(blurred_layers->begin(), blurred_layers->end(), here);
}

ChangeValues::ChangeValues(const ChangeShape& shape, double blur_sigma) {
    for (size_t l = 0; l < shape.levels.size(); l++) {
        if (shape.blurs(l)) {
            blurs_.push_back(blur_matrix(shape.levels[l].first, blur_sigma));
            blurs_.push_back(blur_matrix(shape.levels[l].second, blur_sigma));
        }
    }
    for (size_t i = 0; shape.freeu && i < std::min<size_t>(2, shape.levels.size()); i++) {
        waves_.resize(waves_.size() + 2);
        const auto& [w, h] = shape.levels[shape.levels.size() - 1 - i];
        fill_waves(w, h, shape.s[i], &waves_[2 * i], &waves_[2 * i + 1]);
    }
}

void ChangeValues::inputs(const ChangeShape& shape, std::vector<HostInput>* to) const {
    const auto add = [&](const std::vector<float>& v) { to->push_back({v.data(), v.size() * sizeof(float)}); };
    if (shape.blurred > 0) {
        std::for_each(blurs_.begin(), blurs_.end(), add);
    }
    std::for_each(waves_.begin(), waves_.end(), add);
}

UnetChange::UnetChange(GraphBuilder& g, const ChangeShape& shape) : shape_(shape), blurs_(shape.levels.size()) {
    for (size_t l = 0; l < shape.levels.size(); l++) {
        const auto& [w, h] = shape.levels[l];
        if (shape.blurs(l)) {
            blurs_[l].across = g.input(GGML_TYPE_F32, w, w);
            blurs_[l].down   = g.input(GGML_TYPE_F32, h, h);
        }
    }
    for (size_t i = 0; shape.freeu && i < std::min<size_t>(2, shape.levels.size()); i++) {
        const auto& [w, h] = shape.levels[shape.levels.size() - 1 - i];
        waves_[i].from     = g.input(GGML_TYPE_F32, w * h, kFreeuWaves);
        waves_[i].to       = g.input(GGML_TYPE_F32, kFreeuWaves, w * h);
    }
}

size_t UnetChange::level_of(const AttentionSite& site) const {
    size_t l = 0;
    while (shape_.levels[l].first != site.width || shape_.levels[l].second != site.height) {
        l++;
    }
    return l;
}

ggml_tensor* UnetChange::blur(GraphBuilder& g, const AttentionSite& site, ggml_tensor* q) const {
    const int64_t c = q->ne[0], n = q->ne[2];
    if (shape_.uniform) {
        ggml_tensor* mean = ggml_mean(g.ctx, ggml_cont(g.ctx, ggml_permute(g.ctx, q, 1, 0, 2, 3)));  // [1, C, n]
        return ggml_repeat(g.ctx, ggml_reshape_3d(g.ctx, mean, c, 1, n), q);
    }
    const Blur& by = blurs_[level_of(site)];
    ggml_tensor* x = ggml_reshape_4d(g.ctx, ggml_cont(g.ctx, q), c, site.width, site.height, n);
    x              = product(g, by.across, ggml_cont(g.ctx, ggml_permute(g.ctx, x, 1, 0, 2, 3)));  // [w, C, h, n]
    x              = product(g, by.down, ggml_cont(g.ctx, ggml_permute(g.ctx, x, 2, 1, 0, 3)));  // [h, C, w, n]
    x              = ggml_cont(g.ctx, ggml_permute(g.ctx, x, 2, 0, 1, 3));  // [C, w, h, n]
    return ggml_reshape_3d(g.ctx, x, c, site.width * site.height, n);
}

ggml_tensor* UnetChange::self_attention(GraphBuilder& g, const AttentionSite& site, ggml_tensor* q, ggml_tensor* k,
                                        ggml_tensor* v) const {
    const bool skips = shape_.identity > 0 && at(shape_.identity_layers, site.name);
    const bool blurs = shape_.blurred > 0 && at(shape_.blurred_layers, site.name);
    if (!skips && !blurs) {
        return attention(g, q, k, v, site.heads);
    }
    const int64_t first = shape_.plain + shape_.identity;
    if (blurs) {
        ggml_tensor* smooth = blur(g, site, some_rows(g, q, first, shape_.blurred));
        q                   = first == 0 ? smooth : joined(g, some_rows(g, q, 0, first), smooth);
    }
    if (!skips) {
        return attention(g, q, k, v, site.heads);
    }
    const auto attend = [&](int64_t from, int64_t count) {
        return count == 0 ? nullptr
                          : attention(g, some_rows(g, q, from, count), some_rows(g, k, from, count),
                                      some_rows(g, v, from, count), site.heads);
    };
    ggml_tensor* out = joined(g, attend(0, shape_.plain), some_rows(g, v, shape_.plain, shape_.identity));
    return joined(g, out, attend(first, shape_.blurred));
}

void UnetChange::freeu(GraphBuilder& g, size_t block, ggml_tensor** x, ggml_tensor** skip) const {
    if (!shape_.freeu || block > 1 || waves_[block].from == nullptr) {
        return;
    }
    ggml_tensor* t     = *x;
    const int64_t half = t->ne[2] / 2;
    const auto part    = [&](int64_t from, int64_t count) {
        return ggml_cont(g.ctx, ggml_view_4d(g.ctx, t, t->ne[0], t->ne[1], count, t->ne[3], t->nb[1], t->nb[2],
                                                t->nb[3], static_cast<size_t>(from) * t->nb[2]));
    };
    ggml_tensor* stronger = ggml_scale(g.ctx, part(0, half), shape_.b[block]);
    *x                    = ggml_concat(g.ctx, stronger, part(half, t->ne[2] - half), 2);

    ggml_tensor* s    = *skip;
    ggml_tensor* flat = ggml_reshape_2d(g.ctx, s, s->ne[0] * s->ne[1], s->ne[2] * s->ne[3]);
    ggml_tensor* low  = product(g, waves_[block].to, product(g, waves_[block].from, flat));  // [cells, C * N]
    *skip             = ggml_reshape_4d(g.ctx, ggml_add(g.ctx, flat, low), s->ne[0], s->ne[1], s->ne[2], s->ne[3]);
}

}  // namespace dg
