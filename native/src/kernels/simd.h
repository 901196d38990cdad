// The intrinsics of the instruction sets that kernels/ is compiled for. For kernels/*.cpp only.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own AVX-512 headers begin from undefined vectors and warn of it once inlined.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif
