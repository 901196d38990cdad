#pragma once
#include <cassert>
#define GGML_ASSERT(x) assert(x)
#define LOG_INFO(...) (void)0
