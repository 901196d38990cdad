// What a CPU offers and its system lets programs use. Compilers have a builtin for it, but not every runtime library fills it in.
#pragma once

namespace dg {

struct CpuSets {
    bool avx = false, avx2 = false, fma = false;
    bool avx512f = false, avx512_vnni = false, avx512_bf16 = false;
    bool dotprod = false, i8mm = false, sve = false;
};

// What belongs to another kind of CPU is false.
const CpuSets& cpu_sets();

}  // namespace dg
