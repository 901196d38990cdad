#include "backend/lanes.h"

#include <algorithm>
#include <exception>
#include <future>

namespace dg {

namespace {

constexpr int64_t kRowsPerLane = 2;

}  // namespace

std::vector<int64_t> lane_rows(int64_t rows, int64_t threads) {
    const int64_t lanes = std::max<int64_t>(1, std::min(threads, rows / kRowsPerLane));
    std::vector<int64_t> shares;
    for (int64_t i = 0; i < lanes; i++) {
        shares.push_back(rows * (i + 1) / lanes - rows * i / lanes);
    }
    return shares;
}

void Lanes::run(const Device& device, const Traits& traits, const std::vector<LaneCall>& calls) {
    while (lanes_.size() < calls.size()) {
        lanes_.push_back(std::unique_ptr<Lane>(new Lane{Worker(device, 1, cancel_), GraphRunner(cancel_, account_)}));
    }
    const auto compute = [&](size_t i) {
        Lane& lane = *lanes_[i];
        lane.runner.run(calls[i].key, lane.worker, traits, calls[i].build, calls[i].inputs, calls[i].outputs);
    };
    std::vector<std::future<void>> others;
    for (size_t i = 1; i < calls.size(); i++) {
        others.push_back(std::async(std::launch::async, compute, i));
    }
    std::exception_ptr failure;
    const auto attempt = [&](const auto& call) {
        try {
            call();
        } catch (...) {
            failure = failure ? failure : std::current_exception();
        }
    };
    attempt([&] { compute(0); });
    for (std::future<void>& other : others) {
        attempt([&] { other.get(); });
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
}

size_t Lanes::held_bytes() const {
    size_t bytes = 0;
    for (const auto& lane : lanes_) {
        bytes += lane->runner.held_bytes();
    }
    return bytes;
}

void Lanes::release() {
    for (const auto& lane : lanes_) {
        lane->runner.release();
    }
}

int64_t Lanes::builds() const {
    int64_t n = 0;
    for (const auto& lane : lanes_) {
        n += lane->runner.builds();
    }
    return n;
}

}  // namespace dg
