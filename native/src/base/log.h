// Process-wide log: our lines and ggml's, one line at a time to one callback.
#pragma once

#include <cstdint>

#include "daguerre.h"

namespace dg {

// Sends ggml's own output to our log; it would go to standard error. The first call of the ABI does this.
void route_engine_logs();

void set_log(dg_log_callback callback, int64_t user, int32_t min_level);

void log(int32_t level, const char* fmt, ...) __attribute__((format(printf, 2, 3)));

}  // namespace dg
