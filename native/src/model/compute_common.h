// Shared by the parts of Model that compute: checks of arguments, and inputs of graphs.
#pragma once

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <vector>

#include "backend/graph.h"
#include "base/error.h"
#include "daguerre.h"
#include "lora/adapter.h"

namespace dg {

constexpr int64_t kMaxBatch  = 1024;
constexpr int64_t kMaxSide   = 16384;  // pixels or cells
constexpr int64_t kMaxTokens = 1 << 16;

constexpr int64_t kMaxImagePrompts = 64;

// A picture with guidance has two rows in an evaluation. One lane computes both.
constexpr int64_t kRowsOfPicture = 2;

inline void check_range(const char* field, int64_t value, int64_t low, int64_t high) {
    if (value < low || value > high) {
        fail(DG_ERR_ARGUMENT, "%s: %lld is not in %lld..%lld", field, static_cast<long long>(value),
             static_cast<long long>(low), static_cast<long long>(high));
    }
}

inline void check_pointer(const char* field, const void* pointer) {
    if (pointer == nullptr) {
        fail(DG_ERR_ARGUMENT, "%s: is NULL", field);
    }
}

inline void check_count(const char* field, size_t found, int64_t wanted) {
    if (found != static_cast<size_t>(wanted)) {
        fail(DG_ERR_ARGUMENT, "%s: has room for %zu floats where %lld are written", field, found,
             static_cast<long long>(wanted));
    }
}

// A batch of pictures whose sides are multiples of scale.
inline void check_pictures(int64_t batch, int64_t height, int64_t width, int64_t scale) {
    check_range("batch", batch, 1, kMaxBatch);
    check_range("height", height, scale, kMaxSide);
    check_range("width", width, scale, kMaxSide);
    if (height % scale != 0 || width % scale != 0) {
        fail(DG_ERR_ARGUMENT, "size: %lld x %lld is not a multiple of %lld", static_cast<long long>(width),
             static_cast<long long>(height), static_cast<long long>(scale));
    }
}

// Sinusoidal embedding as diffusers' get_timestep_embedding(flip_sin_to_cos=True, downscale_freq_shift=0).
inline void sinusoid(float value, int64_t width, float* out) {
    const int64_t half = width / 2;
    for (int64_t i = 0; i < half; i++) {
        const float exponent =
            static_cast<float>(-std::log(10000.0)) * static_cast<float>(i) / static_cast<float>(half);
        const float frequency = static_cast<float>(std::exp(static_cast<double>(exponent)));
        const double angle    = static_cast<double>(value * frequency);
        out[i]                = static_cast<float>(std::cos(angle));
        out[half + i]         = static_cast<float>(std::sin(angle));
    }
}

// Embedding of a guidance scale: diffusers' get_guidance_scale_embedding(scale - 1). First the sines, then the cosines. The
// last frequency is 1/10000. An odd width ends with 0. Angles are rounded as in diffusers: they are thousands of radians, so
// rounding matters.
inline void guidance_sinusoid(float scale, int64_t width, float* out) {
    const int64_t half    = width / 2;
    const float thousands = (scale - 1.0f) * 1000.0f;
    const float step      = static_cast<float>(std::log(10000.0)) / static_cast<float>(std::max<int64_t>(half - 1, 1));
    for (int64_t i = 0; i < half; i++) {
        const auto frequency = static_cast<float>(std::exp(static_cast<double>(static_cast<float>(i) * -step)));
        const auto angle     = static_cast<double>(thousands * frequency);
        out[i]               = static_cast<float>(std::sin(angle));
        out[half + i]        = static_cast<float>(std::cos(angle));
    }
}

template <typename T>
HostInput input_of(const std::vector<T>& values) {
    return {values.data(), values.size() * sizeof(T)};
}

inline HostInput input_of(const float* values, int64_t count) {
    return {values, static_cast<size_t>(count) * sizeof(float)};
}

// Rows of `size` floats each.
inline HostInput rows_of(const float* values, int64_t first, int64_t count, int64_t size) {
    return input_of(values + first * size, count * size);
}

// The number of different texts in a query.
inline int64_t texts_of(const dg_compute_query& q) {
    check_range("texts", q.texts, 0, q.batch);
    return q.texts == 0 ? q.batch : q.texts;
}

inline std::string shape_key(const char* stage, std::initializer_list<int64_t> sizes) {
    std::string key = stage;
    for (const int64_t s : sizes) {
        key += " " + std::to_string(s);
    }
    return key;
}

// Applies a stack of adapters to the layers of a graph. The stack's scales become the graph's last input.
inline void apply_adapters(GraphBuilder& g, const AdapterStack* stack) {
    if (stack != nullptr) {
        g.adapters       = stack;
        g.adapter_scales = g.input(GGML_TYPE_F32, stack->scale_count());
    }
}

}  // namespace dg
