// The intrinsics of the instruction sets that kernels/ is compiled for. For kernels/*.cpp only.
#pragma once

// AVX2 with FMA and F16C, and nothing wider: the F32 products of kernels/*_f32.cpp. AVX-512 has its own kernels.
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__) && !defined(__AVX512F__)
#define DG_F32_PRODUCTS 1
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own AVX-512 headers use uninitialized vectors on purpose. Inlined, they cause warnings.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif
