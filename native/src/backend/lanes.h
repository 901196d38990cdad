// Lanes compute shares of a batch side by side. A lane is one thread with its own graph. If nodes are small, threads that share
// every node wait longer for each other than they compute. Lanes wait for each other only at the end.
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

// The parameters of GraphRunner::run for one share of the rows.
struct LaneCall {
    std::string key;
    BuildFunction build;
    std::vector<HostInput> inputs;
    std::vector<HostOutput> outputs;
};

// A thread that waits for calls. If the next call comes soon, the thread does not sleep before it: waking takes longer than a
// node of a small graph.
class LaneThread {
public:
    LaneThread();  // if the system refuses a thread, wait() makes the call itself
    ~LaneThread();

    void start(std::function<void()> call);  // `call` must not throw. Call wait() for the call before first.
    void wait();  // until the call has ended

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

    // Computes all calls on a CPU, the first one on the caller's thread. Returns when all have ended. If calls failed, it then
    // throws the exception of the first of them.
    void run(const Device& device, const Traits& traits, const std::vector<LaneCall>& calls);

    size_t held_bytes() const;
    void release();
    int64_t builds() const;

private:
    struct Lane {
        Worker worker;
        GraphRunner runner;
        std::unique_ptr<LaneThread> thread;  // NULL in the caller's lane
    };
    const std::atomic<bool>* cancel_;
    MemoryAccount* account_;
    std::vector<std::unique_ptr<Lane>> lanes_;
};

// Divides rows into shares for at most `threads` lanes. Shares are as equal as possible and have at least `least` rows.
std::vector<int64_t> lane_rows(int64_t rows, int64_t least, int64_t threads);

}  // namespace dg
