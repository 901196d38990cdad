#include "base/cpuid.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace dg {

namespace {

#if defined(__x86_64__)

struct Registers {
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers ask(uint32_t leaf, uint32_t subleaf) {
    Registers r;
    __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);  // all zero if the CPU has no such leaf
    return r;
}

bool bit(uint32_t word, int at) {
    return (word >> at & 1) != 0;
}

// The registers that the system saves when it switches threads.
uint32_t saved_state() {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

// Bits as Intel's manual, volume 2, CPUID, has them.
CpuSets find_sets() {
    const Registers one = ask(1, 0), seven = ask(7, 0), more = ask(7, 1);
    CpuSets sets;
    if (!bit(one.ecx, 27)) {  // OSXSAVE: xgetbv may be used
        return sets;
    }
    constexpr uint32_t kYmm = 0x06, kZmm = 0xe6;
    const uint32_t state = saved_state();
    if ((state & kYmm) == kYmm) {
        sets.avx  = bit(one.ecx, 28);
        sets.fma  = bit(one.ecx, 12);
        sets.avx2 = bit(seven.ebx, 5);
    }
    if ((state & kZmm) == kZmm) {
        sets.avx512f     = bit(seven.ebx, 16);
        sets.avx512_vnni = bit(seven.ecx, 11);
        sets.avx512_bf16 = bit(more.eax, 5);
    }
    return sets;
}

#elif defined(__aarch64__) && defined(__linux__)

// Bits as Linux' arch/arm64/include/uapi/asm/hwcap.h has them.
CpuSets find_sets() {
    const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    CpuSets sets;
    sets.dotprod = (first >> 20 & 1) != 0;
    sets.sve     = (first >> 22 & 1) != 0;
    sets.i8mm    = (second >> 13 & 1) != 0;
    return sets;
}

#elif defined(__aarch64__) && defined(__APPLE__)

bool offered(const char* name) {
    int32_t value = 0;
    size_t size   = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

CpuSets find_sets() {
    CpuSets sets;
    sets.dotprod = offered("hw.optional.arm.FEAT_DotProd");
    sets.i8mm    = offered("hw.optional.arm.FEAT_I8MM");
    return sets;
}

#else

CpuSets find_sets() {
    return {};
}

#endif

}  // namespace

const CpuSets& cpu_sets() {
    static const CpuSets sets = find_sets();
    return sets;
}

}  // namespace dg
