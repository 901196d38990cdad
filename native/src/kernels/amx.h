// Intel AMX: 16 x 64-byte tiles and their product. A process asks the kernel once for the right to use tiles. A thread loads a
// tile configuration before its first tile and releases it after its last.
#pragma once

#include <cstdint>

namespace dg {

constexpr int kTile      = 16;  // rows of a tile, and F32 values in one of its rows
constexpr int kTileDepth = 32;  // BF16 values in one row: products a tile product sums
constexpr int kTileBytes = kTile * kTileDepth * 2;

// True if AMX is compiled in, this CPU has it and the kernel allows it. The first call asks the kernel.
bool amx_usable();

// For tests: after amx_disable(true), amx_usable returns false, so that the code of other CPUs runs.
void amx_disable(bool disabled);

// Whether the CPU has fast BF16 products, AMX or AVX512_BF16. Only then inputs are packed for them.
bool bf16_products();

// Whether this build has the F32 products of AVX2 and NEON (kernels/product_f32.h).
bool f32_products();

}  // namespace dg
