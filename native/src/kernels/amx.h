// Intel AMX: 16 x 64-byte tiles and their product. A process asks the kernel for the right to use
// them once; a thread loads a tile configuration before its first tile and releases it after its last.
#pragma once

#include <cstdint>

namespace dg {

constexpr int kTile      = 16;                     // rows of a tile, and F32 values in one of its rows
constexpr int kTileDepth = 32;                     // BF16 values in one row: products a tile product sums
constexpr int kTileBytes = kTile * kTileDepth * 2;

// Compiled in, offered by this CPU and allowed by the kernel. The first call asks.
bool amx_usable();

// For tests: makes amx_usable answer false, so that the path of other CPUs is taken, until called with false.
void amx_disable(bool disabled);

// Whether BF16 products are worth packing for: by AMX or by AVX512_BF16.
bool bf16_products();

// Whether this build has the F32 products of AVX2 (kernels/product_f32.h).
bool f32_products();

}  // namespace dg
