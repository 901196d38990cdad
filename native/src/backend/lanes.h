// Shares of a batch computed side by side, each by one thread with a graph of its own. Where nodes are small threads that share every
// node wait for each other longer than they compute; lanes do not meet before the end.
#pragma once

#include <memory>
#include <string>
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
    };
    const std::atomic<bool>* cancel_;
    MemoryAccount* account_;
    std::vector<std::unique_ptr<Lane>> lanes_;
};

// Shares of rows for at most `threads` lanes, in order, as equal as they can be. A lane has two rows or more: a guided picture's,
// which stay together.
std::vector<int64_t> lane_rows(int64_t rows, int64_t threads);

}  // namespace dg
