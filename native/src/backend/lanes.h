// Shares of a batch computed side by side, each by one thread with a graph of its own. Where nodes are small threads that share every
// node wait for each other longer than they compute; lanes do not meet before the end.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "backend/graph.h"

namespace dg {

// As GraphRunner::run's parameters, for a share of the rows.
struct LaneCall {
    std::string key;
    BuildFunction build;
    std::vector<HostInput> inputs;
    std::vector<HostOutput> outputs;
};

// A thread that waits for calls. Between calls that follow each other closely it does not sleep: waking takes longer than what a
// small graph's node does.
class LaneThread {
public:
    LaneThread();  // where the system refuses a thread, wait() makes the call itself
    ~LaneThread();

    void start(std::function<void()> call);  // which must not throw; the one before has been waited for
    void wait();  // until it has ended

private:
    void serve();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::function<void()> call_;
    std::atomic<bool> busy_{false}, stop_{false};
    std::thread thread_;
};

class Lanes {
public:
    Lanes(const std::atomic<bool>* cancel, MemoryAccount* account) : cancel_(cancel), account_(account) {}

    // Computes all calls on a CPU, the first on the caller's thread; returns when all have ended, and then throws what the
    // first of those that failed threw.
    void run(const Device& device, const Traits& traits, const std::vector<LaneCall>& calls);

    size_t held_bytes() const;
    void release();
    int64_t builds() const;

private:
    struct Lane {
        Worker worker;
        GraphRunner runner;
        std::unique_ptr<LaneThread> thread;  // none for the caller's lane
    };
    const std::atomic<bool>* cancel_;
    MemoryAccount* account_;
    std::vector<std::unique_ptr<Lane>> lanes_;
};

// Shares of rows for at most `threads` lanes, in order, as equal as they can be, each of `least` rows or more.
std::vector<int64_t> lane_rows(int64_t rows, int64_t least, int64_t threads);

}  // namespace dg
