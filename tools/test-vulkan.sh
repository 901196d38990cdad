#!/usr/bin/env bash
# Tests on Mesa's lavapipe, Vulkan in software, against the CPU: pictures for every way of computing, graphs, limits, faults, and the
# goldens of all features in exact precision. The device is named, because a software device is never chosen by itself. Limits and faults
# are played by a layer between ggml and the driver (internal/vulkanlayer), which is compiled here: it needs a C compiler.
#
#   tools/test-vulkan.sh            everything
#   tools/test-vulkan.sh pictures   only TestVulkan... (also: devices, goldens, worker)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'test-vulkan: %s\n' "$1" >&2
    exit 1
}

library=$PWD/build/vulkan/libdaguerre-vulkan.so
[ -f "$library" ] || fail "$library is missing: make vulkan"
compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' >/dev/null ||
    fail "Mesa's lavapipe is missing: apt install mesa-vulkan-drivers"

# Only lavapipe, on machines that have a GPU, too; ggml takes a software device only if it is named.
export VK_LOADER_DRIVERS_SELECT='*lvp*' GGML_VK_VISIBLE_DEVICES=0
export DAGUERRE_LIBRARY=$library DAGUERRE_TEST_DEVICE=vulkan:0
part=${1:-all}

if [ "$part" = all ] || [ "$part" = pictures ]; then
    go test -tags vulkan -count=1 -timeout 60m ./runtime/pipeline -run '^TestVulkan'
fi
if [ "$part" = all ] || [ "$part" = devices ]; then
    # Under two names one driver is two devices.
    mkdir -p build/two-devices
    for name in one two; do cp "$(compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' | head -n 1)" "build/two-devices/$name.json"; done
    VK_LOADER_DRIVERS_SELECT='*' VK_DRIVER_FILES=$PWD/build/two-devices/one.json:$PWD/build/two-devices/two.json GGML_VK_VISIBLE_DEVICES=0,1 \
        go test -tags vulkan -count=1 -timeout 20m ./runtime/pipeline -run '^TestTwoVulkanDevices'
fi
if [ "$part" = all ] || [ "$part" = worker ]; then
    go test -tags vulkan -count=1 -timeout 30m ./cli/e2e -run '^TestLost(Vulkan)?Device$'
fi
if [ "$part" = all ] || [ "$part" = goldens ]; then
    # The CPU's own tests of features, computed on the device where they name none, and features against the CPU.
    # Without half precision, to which ggml would round the factors of products.
    GGML_VK_DISABLE_F16=1 DAGUERRE_DEVICE=vulkan:0 go test -tags vulkan -count=1 -timeout 60m ./runtime/pipeline -run \
        '^Test(GoldenText|GoldenRunsExact|GoldenControlNet|GoldenControlNetUnion|GoldenTAESD|GoldenESRGAN|GoldenRefiner|ExactVulkanFeatures)$'
fi
