// Work shared out among threads.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace dg {

// Calls body(i) for all i in [0, n) on at most so many threads, the caller's among them; on fewer where the system refuses
// one. Throws what the first call that failed threw, once all have ended.
void in_parallel(int64_t n, int32_t threads, const std::function<void(int64_t)>& body);

// Starts a thread; false where the system refuses one. Whoever wants a thread can do without it.
bool start_thread(std::thread* thread, std::function<void()> body);

// For tests: every start from now on is refused, or none is.
void refuse_threads(bool refuse);

// How many threads start_thread has started in this process.
int64_t threads_started();

}  // namespace dg
