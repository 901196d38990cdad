#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace dg {

void in_parallel(int64_t n, const std::function<void(int64_t)>& body) {
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
    std::vector<std::thread> pool;
    for (int64_t i = 1; i < std::min<int64_t>(n, std::thread::hardware_concurrency()); i++) {
        pool.emplace_back(work);
    }
    work();
    for (std::thread& t : pool) {
        t.join();
    }
    if (failure != nullptr) {
        std::rethrow_exception(failure);
    }
}

}  // namespace dg
