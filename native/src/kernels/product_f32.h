// F32 products on AVX2 and NEON: the inner loops that convolutions, linear layers and attention share. For kernels/*_f32.cpp only.
//
// Rows (pixels or tokens) are read in place, from blocks of 32 channels: [channel block][row][32]. A picture's rows lie inside
// its border. Weights are widened to F32 panels of 16 outputs, [product][16], one slice at a time. A slice fits the first-level
// cache and is widened once for all rows of a unit of work. Six rows times a panel are twelve sums in registers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/eight.h"
#include "kernels/tiles.h"

namespace dg {

constexpr int64_t kBlock = 32;  // channels that stand side by side in a packed picture or packed tokens
constexpr int64_t kPanel = 16;  // outputs of a panel

// The distance of two channel blocks of `rows` rows, in rows. It is chosen so that six rows of eight blocks fall into different
// sets of the first-level cache.
inline int64_t padded_rows(int64_t rows) {
    return round_up(rows - 6, 32) + 6;
}

}  // namespace dg

#if defined(DG_F32_PRODUCTS)

namespace dg {

constexpr int kMaxRows         = 6;  // rows of a tile in registers
constexpr int64_t kSlice       = 9;  // blocks of products in a slice of a panel: 18 KiB
constexpr int64_t kPanels      = 4;  // panels that rows are multiplied by at a time
constexpr int64_t kUnitRows    = 256;  // rows for which a panel is widened once
constexpr int64_t kSliceFloats = kSlice * kBlock * kPanel;

// Up to 32 products of each row. They begin `shift` values after the row's offset.
struct Step {
    int64_t shift;
    int32_t depth;
};

// Calls f(0) ... f(N - 1) with constants, without a loop: compilers keep an array in registers only if every index is constant.
template <typename F, int... I>
[[gnu::always_inline]] inline void written_out(F f, std::integer_sequence<int, I...>) {
    (f(std::integral_constant<int, I>{}), ...);
}
template <int N, typename F>
[[gnu::always_inline]] inline void unrolled(F f) {
    written_out(f, std::make_integer_sequence<int, N>{});
}

// sums[row][16] (+)= rows times a slice of a panel.
template <int M>
void multiply_rows(const float* base, const int64_t* rows, const Step* steps, int64_t count, const float* panel,
                   float* sums, bool first) {
    Floats low[M], high[M];
    unrolled<M>([&](auto i) {
        low[i]  = first ? vec::all(0) : vec::load(sums + i * kPanel);
        high[i] = first ? vec::all(0) : vec::load(sums + i * kPanel + 8);
    });
    for (int64_t s = 0; s < count; s++) {
        const float* from[M];
        unrolled<M>([&](auto i) {
            from[i] = base + rows[i] + steps[s].shift;
            // the next rows, which mostly follow in memory
            __builtin_prefetch(from[i] + M * kBlock);
            __builtin_prefetch(from[i] + M * kBlock + kBlock / 2);
        });
        const float* end = panel + steps[s].depth * kPanel;
        for (; panel != end; panel += kPanel) {
            const Floats a = vec::load(panel), b = vec::load(panel + 8);
            unrolled<M>([&](auto i) {
                const Floats x = vec::all(*from[i]++);
                low[i]         = vec::fmadd(x, a, low[i]);
                high[i]        = vec::fmadd(x, b, high[i]);
            });
        }
    }
    unrolled<M>([&](auto i) {
        vec::store(sums + i * kPanel, low[i]);
        vec::store(sums + i * kPanel + 8, high[i]);
    });
}

// The same for several panels, `stride` floats apart, and any number of rows: sums [panel][count][16]. Six rows stay in the
// first-level cache while the panels pass.
inline void multiply_panels(const float* base, const int64_t* rows, int64_t count, const Step* steps,
                            int64_t step_count, const float* panels, int64_t stride, int64_t panel_count, float* sums,
                            bool first) {
    for (int64_t i = 0; i < count; i += kMaxRows) {
        for (int64_t p = 0; p < panel_count; p++) {
            const float* panel = panels + p * stride;
            float* to          = sums + (p * count + i) * kPanel;
            switch (count - i) {
                case 1: multiply_rows<1>(base, rows + i, steps, step_count, panel, to, first); break;
                case 2: multiply_rows<2>(base, rows + i, steps, step_count, panel, to, first); break;
                case 3: multiply_rows<3>(base, rows + i, steps, step_count, panel, to, first); break;
                case 4: multiply_rows<4>(base, rows + i, steps, step_count, panel, to, first); break;
                case 5: multiply_rows<5>(base, rows + i, steps, step_count, panel, to, first); break;
                default: multiply_rows<kMaxRows>(base, rows + i, steps, step_count, panel, to, first); break;
            }
        }
    }
}

// How threads share a product. It is cut into units: some rows times some panels. A thread takes every nth unit.
struct Units {
    int64_t rows, panels, blocks, parts;

    Units(int64_t rows, int64_t panels, int nth, int64_t unit = kUnitRows) : rows(rows), panels(panels) {
        blocks = ceil_div(rows, unit);
        parts  = blocks >= 4 * nth ? 1 : std::min<int64_t>(nth, panels);
    }
    int64_t count() const { return blocks * parts; }
    int64_t first_row(int64_t unit) const { return rows * (unit / parts) / blocks; }
    int64_t last_row(int64_t unit) const { return rows * (unit / parts + 1) / blocks; }
    int64_t first_panel(int64_t unit) const { return panels * (unit % parts) / parts; }
    int64_t last_panel(int64_t unit) const { return panels * (unit % parts + 1) / parts; }
};

// The thread's share of a product. `passes` panels, `apart` panels from each other, make one result.
// row_of(row): where a row begins, from `base` on; widen(panel, step, count, to): the panel's products of steps
// [step, step + count); finish(panel, first row, rows, sums): sums [pass][row][16].
template <typename RowOf, typename Widen, typename Finish>
void multiply_all(const Units& units, int ith, int nth, const float* base, const std::vector<Step>& steps,
                  int64_t slice, int passes, int64_t apart, RowOf row_of, Widen widen, Finish finish) {
    thread_local std::vector<float> sums;
    thread_local std::vector<int64_t> rows;
    alignas(64) float panels[kPanels * kSliceFloats];
    const auto step_count = static_cast<int64_t>(steps.size());
    for (int64_t unit = ith; unit < units.count(); unit += nth) {
        const int64_t first = units.first_row(unit), count = units.last_row(unit) - first;
        sums.resize(static_cast<size_t>(kPanels * count * kPanel));
        rows.resize(static_cast<size_t>(count));
        for (int64_t i = 0; i < count; i++) {
            rows[static_cast<size_t>(i)] = row_of(first + i);
        }
        const int64_t last = units.last_panel(unit), step = kPanels / passes;
        for (int64_t p = units.first_panel(unit); p < last; p += step) {
            const int64_t slots = std::min(step, last - p) * passes;
            for (int64_t s = 0; s < step_count; s += slice) {
                const int64_t n = std::min(slice, step_count - s);
                for (int64_t i = 0; i < slots; i++) {
                    widen(p + i / passes + i % passes * apart, s, n, panels + i * kSliceFloats);
                }
                multiply_panels(base, rows.data(), count, &steps[static_cast<size_t>(s)], n, panels, kSliceFloats,
                                slots, sums.data(), s == 0);
            }
            for (int64_t i = 0; i < slots; i += passes) {
                finish(p + i / passes, first, count, &sums[static_cast<size_t>(i * count * kPanel)]);
            }
        }
    }
}

}  // namespace dg

#endif
