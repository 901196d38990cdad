// Work shared out among threads.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace dg {

// Calls body(i) for all i in [0, n) on at most `threads` threads; the caller's thread is one of them. If the system refuses a
// thread, fewer do the work. If calls throw, the first exception is thrown again after all threads have ended.
void in_parallel(int64_t n, int32_t threads, const std::function<void(int64_t)>& body);

// Starts a thread. False if the system refuses it; the caller must then do the work without it.
bool start_thread(std::thread* thread, std::function<void()> body);

// For tests: every start from now on is refused, or none is.
void refuse_threads(bool refuse);

// How many threads start_thread has started in this process.
int64_t threads_started();

}  // namespace dg
