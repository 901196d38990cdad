#include "kernels/amx.h"

#include <atomic>

#include "kernels/simd.h"

#if defined(__AMX_BF16__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace dg {

namespace {

std::atomic<bool> disabled_for_test{false};

bool ask_kernel() {
#if defined(__AMX_BF16__) && defined(__linux__)
    constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM of arch_prctl(2)
    constexpr long kTileData          = 18;      // XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
    return false;
#endif
}

}  // namespace

bool amx_usable() {
    static const bool allowed = ask_kernel();
    return allowed && !disabled_for_test.load(std::memory_order_relaxed);
}

void amx_disable(bool disabled) {
    disabled_for_test = disabled;
}

bool f32_products() {
#if defined(DG_F32_PRODUCTS)
    return true;
#else
    return false;
#endif
}

bool bf16_products() {
#if defined(__AVX512BF16__)
    return true;
#else
    return amx_usable();
#endif
}

}  // namespace dg
