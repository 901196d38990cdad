// Process-wide log: our lines, the engine's and ggml's, one line at a time to one callback.
#pragma once

#include <cstdint>

#include "daguerre.h"

namespace dg {

void set_log(dg_log_callback callback, int64_t user, int32_t min_level);

void log(int32_t level, const char* fmt, ...) __attribute__((format(printf, 2, 3)));

}  // namespace dg
