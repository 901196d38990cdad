// What the caches of stable-diffusion.cpp decide and predict on a made-up series, for internal/reuse/testdata. The engine's headers are not
// here: give their folder, and the stubs beside this file stand in for the rest of the engine.
//
//     g++ -std=c++17 -I tools/goldens/caches/stubs -I STABLE_DIFFUSION_CPP/src -o caches tools/goldens/caches/caches.cpp && ./caches
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <vector>

#include "core/tensor.hpp"
#include "runtime/easycache.hpp"
#include "runtime/spectrum.hpp"
#include "runtime/ucache.hpp"

static const int kSteps = 30, kValues = 16;

// Inputs and two outputs of a step: smooth curves, whose pace changes.
static sd::Tensor<float> series(int which, int step) {
    sd::Tensor<float> t;
    const double at = step / 30.0;
    for (int i = 0; i < kValues; i++) {
        const double wave = std::sin(0.7 * i + 2.5 * at * at + which) * (1.2 - 0.5 * at);
        t.values.push_back(static_cast<float>(wave + 0.1 * which * std::cos(9 * at + i)));
    }
    return t;
}

static void print(const char* name, double threshold, const std::vector<int>& skipped, const std::vector<float>& last) {
    std::printf("{\"cache\": \"%s\", \"threshold\": %g, \"skipped\": [", name, threshold);
    for (size_t i = 0; i < skipped.size(); i++) {
        std::printf("%s%d", i ? ", " : "", skipped[i]);
    }
    std::printf("], \"predicted\": [");
    for (size_t i = 0; i < last.size(); i++) {
        std::printf("%s%.9g", i ? ", " : "", last[i]);
    }
    std::printf("]}");
}

// A step asks for the positive half (which 1) and then for the negative one (2), as the engine does.
template <typename State>
static void run(const char* name, State& state, float threshold) {
    std::vector<int> skipped;
    std::vector<float> last;  // of the last step that was left out, both halves
    for (int step = 0; step < kSteps; step++) {
        const float sigma             = static_cast<float>(kSteps - step);
        const sd::Tensor<float> input = series(0, step);
        state.begin_step(step, sigma);
        bool left_out = false;
        std::vector<float> both;
        for (int half = 1; half <= 2; half++) {
            sd::Tensor<float> out;
            const void* condition = reinterpret_cast<const void*>(static_cast<intptr_t>(half));
            if (state.before_condition(condition, input, &out, sigma, step)) {
                left_out = true;
            } else {
                out = series(half, step);
                state.after_condition(condition, input, out);
            }
            both.insert(both.end(), out.values.begin(), out.values.end());
        }
        if (left_out) {
            skipped.push_back(step);
            last = both;
        }
    }
    print(name, threshold, skipped, last);
}

int main() {
    Denoiser denoiser;
    std::vector<float> sigmas;
    for (int i = 0; i <= kSteps; i++) {
        sigmas.push_back(static_cast<float>(kSteps - i));
    }
    std::printf("[\n");
    for (const float threshold : {0.0f, 0.05f, 0.1f, 0.2f, 0.5f, 2.0f}) {
        EasyCacheConfig easy;
        easy.enabled         = true;
        easy.reuse_threshold = threshold;
        EasyCacheState e;
        e.init(easy, &denoiser);
        // by step number, as UCache's set_sigmas does
        e.start_sigma = sigmas[static_cast<size_t>(easy.start_percent * kSteps)];
        e.end_sigma   = sigmas[static_cast<size_t>(easy.end_percent * kSteps)];
        run("easycache", e, threshold);
        std::printf(",\n");
        UCacheConfig u;
        u.enabled         = true;
        u.reuse_threshold = threshold;
        UCacheState s;
        s.init(u, &denoiser);
        s.set_sigmas(sigmas);
        run("ucache", s, threshold);
        std::printf(",\n");
    }
    for (const int window : {1, 2, 3, 5}) {
        SpectrumConfig config;
        config.window_size = window;
        SpectrumState s;
        s.init(config, kSteps);
        std::vector<int> skipped;
        std::vector<float> last;
        for (int step = 0; step < kSteps; step++) {
            sd::Tensor<float> out = series(1, step);
            if (s.should_predict()) {
                s.predict(&out);
                skipped.push_back(step);
                last = out.values;
            } else {
                s.update(out);
            }
        }
        print("spectrum", window, skipped, last);
        std::printf("%s\n", window == 5 ? "" : ",");
    }
    std::printf("]\n");
}
