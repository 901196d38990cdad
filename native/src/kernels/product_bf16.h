// Products of BF16 tiles by AMX or AVX512_BF16. Linear layers, convolutions and attention use them. For kernels/*.cpp only.
#pragma once

#include <cstring>

#include "kernels/tiles.h"

namespace dg {

constexpr int64_t kTileValues = int64_t{kTile} * kTileDepth;  // BF16 values of a tile
constexpr int64_t kSumSize    = int64_t{kTile} * kTile;  // of a tile of sums

}  // namespace dg

#if defined(__AVX512BF16__)

namespace dg {

// One or two tiles of 16 rows of the left factor. A step is 32 values of every row. Steps are `step` values apart, and the rows
// of a tile are `line` bytes apart. The second tile may be NULL.
struct LeftTiles {
    const uint16_t* rows[2];
    int64_t step, line;
};

// One or two tiles of 16 columns of the right factor, each step [pair of values][column][value of the pair]. The second may
// be NULL.
struct RightTiles {
    const uint16_t* columns[2];
    int64_t step;
};

// Where the sums go. The members give distances in values: between rows of a tile, between tiles below each other, and between
// tiles side by side.
struct SumTiles {
    float* data;
    int64_t line, down, across;
    bool add;  // add to the sums that are there
};

#if defined(__AMX_BF16__)

template <bool TwoRows, bool TwoColumns>
void multiply_tiles(const LeftTiles& a, const RightTiles& b, int64_t steps, const SumTiles& out) {
    const auto at = [&](int row, int column) { return out.data + row * out.down + column * out.across; };
    if (out.add) {
        _tile_loadd(0, at(0, 0), out.line * 4);
        if constexpr (TwoColumns) {
            _tile_loadd(1, at(0, 1), out.line * 4);
        }
        if constexpr (TwoRows) {
            _tile_loadd(2, at(1, 0), out.line * 4);
            if constexpr (TwoColumns) {
                _tile_loadd(3, at(1, 1), out.line * 4);
            }
        }
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t i = 0; i < steps; i++) {
        _tile_loadd(4, a.rows[0] + i * a.step, a.line);
        _tile_loadd(6, b.columns[0] + i * b.step, 64);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (TwoColumns) {
            _tile_loadd(7, b.columns[1] + i * b.step, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (TwoRows) {
            _tile_loadd(5, a.rows[1] + i * a.step, a.line);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (TwoColumns) {
                _tile_dpbf16ps(3, 5, 7);
            }
        }
    }
    _tile_stored(0, at(0, 0), out.line * 4);
    if constexpr (TwoColumns) {
        _tile_stored(1, at(0, 1), out.line * 4);
    }
    if constexpr (TwoRows) {
        _tile_stored(2, at(1, 0), out.line * 4);
        if constexpr (TwoColumns) {
            _tile_stored(3, at(1, 1), out.line * 4);
        }
    }
}

#endif

// The same with vector registers, for eight rows of one tile.
template <int Columns>
void multiply_rows(const LeftTiles& a, int tile, int row, const RightTiles& b, int64_t steps, const SumTiles& out) {
    constexpr int kRows = 8;
    float* sums         = out.data + tile * out.down + row * out.line;
    __m512 acc[kRows][Columns];
    for (int r = 0; r < kRows; r++) {
        for (int c = 0; c < Columns; c++) {
            acc[r][c] = out.add ? _mm512_loadu_ps(sums + r * out.line + c * out.across) : _mm512_setzero_ps();
        }
    }
    const auto* lines = reinterpret_cast<const char*>(a.rows[tile]) + row * a.line;
    for (int64_t i = 0; i < steps; i++, lines += 2 * a.step) {
#pragma GCC unroll 16  // a branch per step would halve the speed while weights come from memory
        for (int64_t pair = 0; pair < kTile; pair++) {
#if defined(__clang__)
            __asm__ volatile("" ::: "memory");  // else clang loads the values of later pairs early, and spills them
#endif
            __m512bh v[Columns];
            for (int c = 0; c < Columns; c++) {
                v[c] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b.columns[c] + i * b.step + pair * kTileDepth));
            }
            for (int r = 0; r < kRows; r++) {
                int32_t w;
                std::memcpy(&w, lines + r * a.line + pair * 4, sizeof w);
                for (int c = 0; c < Columns; c++) {
                    acc[r][c] = _mm512_dpbf16_ps(acc[r][c], reinterpret_cast<__m512bh>(_mm512_set1_epi32(w)), v[c]);
                }
            }
        }
    }
    for (int r = 0; r < kRows; r++) {
        for (int c = 0; c < Columns; c++) {
            _mm512_storeu_ps(sums + r * out.line + c * out.across, acc[r][c]);
        }
    }
}

// Products of up to two by two tiles, summed over `steps`. `amx`: the thread has a TileScope.
inline void multiply(bool amx, const LeftTiles& a, const RightTiles& b, int64_t steps, const SumTiles& out) {
    const bool two_rows = a.rows[1] != nullptr, two_columns = b.columns[1] != nullptr;
#if defined(__AMX_BF16__)
    if (amx) {
        if (two_rows) {
            two_columns ? multiply_tiles<true, true>(a, b, steps, out) : multiply_tiles<true, false>(a, b, steps, out);
        } else {
            two_columns ? multiply_tiles<false, true>(a, b, steps, out)
                        : multiply_tiles<false, false>(a, b, steps, out);
        }
        return;
    }
#else
    static_cast<void>(amx);
#endif
    for (int tile = 0; tile < (two_rows ? 2 : 1); tile++) {
        for (int row = 0; row < kTile; row += 8) {
            two_columns ? multiply_rows<2>(a, tile, row, b, steps, out) : multiply_rows<1>(a, tile, row, b, steps, out);
        }
    }
}

}  // namespace dg

#endif
