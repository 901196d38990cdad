#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>

namespace dg {

namespace {

std::atomic<bool> refused{false};
std::atomic<int64_t> started_ever{0};

}  // namespace

void refuse_threads(bool refuse) {
    refused = refuse;
}

bool start_thread(std::thread* thread, std::function<void()> body) {
    if (refused) {
        return false;
    }
    try {
        *thread = std::thread(std::move(body));
    } catch (const std::system_error&) {
        return false;
    }
    started_ever++;
    return true;
}

int64_t threads_started() {
    return started_ever;
}

void in_parallel(int64_t n, int32_t threads, const std::function<void(int64_t)>& body) {
    std::atomic<int64_t> next{0};
    std::exception_ptr failure;
    std::mutex mutex;
    const auto work = [&] {
        try {
            for (int64_t i = next++; i < n; i = next++) {
                body(i);
            }
        } catch (...) {
            const std::lock_guard<std::mutex> lock(mutex);
            failure = failure != nullptr ? failure : std::current_exception();
            next    = n;
        }
    };
    std::vector<std::thread> pool(static_cast<size_t>(std::max<int64_t>(0, std::min<int64_t>(n, threads) - 1)));
    size_t started = 0;
    while (started < pool.size() && start_thread(&pool[started], work)) {
        started++;
    }
    pool.resize(started);  // go on with the threads that did start
    work();
    for (std::thread& t : pool) {
        t.join();
    }
    if (failure != nullptr) {
        std::rethrow_exception(failure);
    }
}

}  // namespace dg
