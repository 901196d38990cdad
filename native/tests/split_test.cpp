// Counts how evenly threads share out the work of SDXL's largest nodes: how much longer the longest share is than an even one,
// for 2 to 64 threads. It prints the table of docs/performance.md. Nothing is timed.

#include "kernels/split.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "check.h"

namespace {

const int kThreads[] = {2, 4, 6, 8, 12, 16, 24, 32, 48, 64};

// The tokens or pixels of both halves of guidance, inputs and outputs of a layer.
struct Layer {
    const char* name;
    int64_t tokens, in, out;
};

const Layer kLinears[] = {
    {"256 px, 640 -> 640", 512, 640, 640},       {"256 px, 640 -> 5120", 512, 640, 5120},
    {"256 px, 1280 -> 1280", 128, 1280, 1280},   {"256 px, 1280 -> 10240", 128, 1280, 10240},
    {"256 px, 5120 -> 1280", 128, 5120, 1280},   {"1024 px, 640 -> 640", 8192, 640, 640},
    {"1024 px, 1280 -> 1280", 2048, 1280, 1280}, {"1024 px, 1280 -> 10240", 2048, 1280, 10240},
};

const Layer kConvolutions[] = {
    {"256 px, 320 -> 320", 2048, 320, 320},      {"256 px, 640 -> 640", 512, 640, 640},
    {"256 px, 1280 -> 1280", 128, 1280, 1280},   {"1024 px, 320 -> 320", 32768, 320, 320},
    {"1024 px, 1280 -> 1280", 2048, 1280, 1280}, {"VAE, 512 -> 512", 16384, 512, 512},
    {"VAE, 128 -> 128", 1048576, 128, 128},
};

// The longest share by what it would be if all work, each part done once, were shared out evenly.
double longest(const std::vector<double>& work, double all) {
    return *std::max_element(work.begin(), work.end()) * static_cast<double>(work.size()) / all;
}

double of_linear(const Layer& l, int threads) {
    constexpr int64_t kChunk = 1 << 20, kGroup = 16, kPanel = 32;
    const int64_t groups = l.tokens / kGroup, fitting = std::max<int64_t>(1, kChunk / (l.in * kGroup * 2) / 2);
    const dg::Shares shares(groups, fitting, l.out / kPanel, threads);
    std::vector<double> work(static_cast<size_t>(threads));
    int64_t done = 0;
    for (int i = 0; i < threads; i++) {
        for (int64_t unit = shares.begin(i, threads); unit < shares.begin(i + 1, threads); unit++) {
            const int64_t n = std::min(groups, shares.end_group(unit)) - shares.first_group(unit);
            work[static_cast<size_t>(i)] += static_cast<double>(n);
            done += n;
        }
    }
    CHECK_EQ(done, groups * (l.out / kPanel));  // all of it, once
    return longest(work, static_cast<double>(done));
}

// Reading a group's inputs costs as much as the products of `kReading` tiles of outputs.
double of_convolution(const Layer& l, int threads) {
    constexpr double kReading = 1;
    const int64_t groups = l.tokens / 16, tiles = l.out / 16;
    const dg::BlockShares shares(groups, 16, tiles, threads);
    std::vector<double> work(static_cast<size_t>(threads));
    int64_t done = 0;
    for (int i = 0; i < threads; i++) {
        shares.each(i, threads, [&](int64_t group0, int64_t group1, int64_t tile0, int64_t tile1) {
            work[static_cast<size_t>(i)] +=
                static_cast<double>(group1 - group0) * (kReading + static_cast<double>(tile1 - tile0));
            done += (group1 - group0) * (tile1 - tile0);
        });
    }
    CHECK_EQ(done, groups * tiles);
    return longest(work, static_cast<double>(groups) * (kReading + static_cast<double>(tiles)));
}

template <size_t N, typename Count>
void report(const char* kind, const Layer (&layers)[N], Count count, double bound) {
    std::printf("%-26s", kind);
    for (const int threads : kThreads) {
        std::printf(" %5d", threads);
    }
    std::printf("\n");
    for (const Layer& l : layers) {
        std::printf("%-26s", l.name);
        for (const int threads : kThreads) {
            const double most = count(l, threads);
            std::printf(" %5.2f", most);
            CHECK(most <= bound);
        }
        std::printf("\n");
    }
}

}  // namespace

CASE("linear layers are shared out evenly") {
    report("linear", kLinears, of_linear, 1.5);
}

CASE("convolutions are shared out evenly") {
    report("convolution", kConvolutions, of_convolution, 1.75);
}

CHECK_MAIN()
