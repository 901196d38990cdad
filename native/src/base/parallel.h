// Work shared out among threads.
#pragma once

#include <cstdint>
#include <functional>

namespace dg {

// Calls body(i) for all i in [0, n) on as many threads as the CPU has. Throws what the first call that failed threw, once all have ended.
void in_parallel(int64_t n, const std::function<void(int64_t)>& body);

}  // namespace dg
