// The intrinsics of the instruction sets that kernels/ is compiled for. For kernels/*.cpp only.
#pragma once

// The F32 products of kernels/*_f32.cpp: AVX2 with FMA and F16C and nothing wider, for AVX-512 has its own kernels, and 64-bit ARM.
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__) && !defined(__AVX512F__)
#define DG_F32_PRODUCTS 1
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define DG_F32_PRODUCTS 1
#define DG_NEON 1
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own AVX-512 headers use uninitialized vectors on purpose. Inlined, they cause warnings.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif
