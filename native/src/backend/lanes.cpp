#include "backend/lanes.h"

#include <algorithm>
#include <chrono>
#include <exception>

#include "base/error.h"
#include "base/parallel.h"

namespace dg {

namespace {

// Before a thread sleeps it waits so long: the caller's work between two evaluations is shorter.
constexpr std::chrono::microseconds kSpin{300};
constexpr int kYield = 64;                        // after so many looks it offers the core to other threads

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Waits a little for a condition; true once it holds.
template <typename Condition>
bool spin(const Condition& holds) {
    const auto end = std::chrono::steady_clock::now() + kSpin;
    do {
        for (int i = 0; i < kYield; i++) {
            if (holds()) {
                return true;
            }
            pause();
        }
        std::this_thread::yield();
    } while (std::chrono::steady_clock::now() < end);
    return false;
}

}  // namespace

LaneThread::LaneThread() {
    start_thread(&thread_, [this] { serve(); });
}

LaneThread::~LaneThread() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void LaneThread::start(std::function<void()> call) {
    if (!thread_.joinable()) {
        call_ = std::move(call);
        return;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        call_ = std::move(call);
        busy_ = true;
    }
    changed_.notify_all();
}

void LaneThread::wait() {
    if (!thread_.joinable()) {
        call_();
        call_ = nullptr;
        return;
    }
    if (!spin([this] { return !busy_; })) {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return !busy_; });
    }
}

void LaneThread::serve() {
    const auto called = [this] { return busy_ || stop_; };
    for (;;) {
        if (!spin(called)) {
            std::unique_lock<std::mutex> lock(mutex_);
            changed_.wait(lock, called);
        }
        if (stop_) {
            return;
        }
        std::function<void()> call;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            call = std::move(call_);
        }
        {
            const AssertionGuard assertions;
            call();
        }
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            busy_ = false;
        }
        changed_.notify_all();
    }
}

std::vector<int64_t> lane_rows(int64_t rows, int64_t least, int64_t threads) {
    const int64_t lanes = std::max<int64_t>(1, std::min(threads, rows / least));
    std::vector<int64_t> shares;
    for (int64_t i = 0; i < lanes; i++) {
        shares.push_back(rows * (i + 1) / lanes - rows * i / lanes);
    }
    return shares;
}

void Lanes::run(const Device& device, const Traits& traits, const std::vector<LaneCall>& calls) {
    while (lanes_.size() < calls.size()) {
        std::unique_ptr<LaneThread> thread(lanes_.empty() ? nullptr : new LaneThread);
        lanes_.push_back(std::unique_ptr<Lane>(
            new Lane{Worker(device, 1, cancel_), GraphRunner(cancel_, account_), std::move(thread)}));
    }
    for (size_t i = calls.size(); i < lanes_.size(); i++) {
        lanes_[i]->runner.release();  // of an earlier call
    }
    std::vector<std::exception_ptr> failures(calls.size());
    const auto compute = [&](size_t i) {
        try {
            Lane& lane = *lanes_[i];
            lane.runner.run(calls[i].key, lane.worker, traits, calls[i].build, calls[i].inputs, calls[i].outputs);
        } catch (...) {
            failures[i] = std::current_exception();
        }
    };
    for (size_t i = 1; i < calls.size(); i++) {
        lanes_[i]->thread->start([&compute, i] { compute(i); });
    }
    compute(0);
    for (size_t i = 1; i < calls.size(); i++) {
        lanes_[i]->thread->wait();
    }
    for (const std::exception_ptr& failure : failures) {
        if (failure) {
            std::rethrow_exception(failure);
        }
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
