#!/usr/bin/env bash
# Tests on Mesa's lavapipe, Vulkan in software, against the CPU: pictures for every way of computing, graphs, limits, faults, and the
# goldens of all features in exact precision. The device is named, because a software device is never chosen by itself. Limits and faults
# are played by a layer between ggml and the driver (internal/vulkanlayer), which is compiled here: it needs a C compiler.
#
#   tools/test-vulkan.sh                      everything
#   tools/test-vulkan.sh pictures             only TestVulkan... (also: devices, goldens, worker)
#   FETCH_LAVAPIPE=yes tools/test-vulkan.sh   the goldens with Debian's backport of lavapipe, unpacked into build/tools/lavapipe
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. cmake/build/debian.sh

fail() {
    printf 'test-vulkan: %s\n' "$1" >&2
    exit 1
}

library=$PWD/build/vulkan/libdaguerre-vulkan.so
[ -f "$library" ] || fail "$library is missing: make vulkan"

driver=$(compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' | head -n 1 || true)
[ -n "$driver" ] || fail "Mesa's lavapipe is missing: apt install mesa-vulkan-drivers"

# Only lavapipe, on machines that have a GPU, too; ggml takes a software device only if it is named.
export VK_DRIVER_FILES=$driver GGML_VK_VISIBLE_DEVICES=0
export DAGUERRE_LIBRARY=$library DAGUERRE_TEST_DEVICE=vulkan:0

# Mesa 22.3, which Debian 12 has, ends the process after several runs with ControlNets (docs/gpu.md). Its manifest names Vulkan 1.1. The
# backport does not. But LLVM takes many minutes for its shaders of half precision, which the goldens do not need.
use_newer_lavapipe() {
    if [ "${FETCH_LAVAPIPE:-no}" = yes ]; then
        local fetched=$PWD/build/tools/lavapipe libraries
        [ -f "$fetched/driver.json" ] ||
            debian_packages bookworm-backports "$fetched" mesa-vulkan-drivers libdrm2 libdrm-common libdrm-amdgpu1 ||
            fail "lavapipe could not be fetched"
        libraries=$(dirname "$(compgen -G "$fetched/usr/lib/*/libvulkan_lvp.so")")
        sed "s#\"library_path\": \".*\"#\"library_path\": \"$libraries/libvulkan_lvp.so\"#" \
            "$(compgen -G "$fetched/usr/share/vulkan/icd.d/lvp_icd*.json")" >"$fetched/driver.json"
        export VK_DRIVER_FILES=$fetched/driver.json LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    elif grep -q '"api_version": "1\.[0-2]\.' "$driver"; then
        printf 'test-vulkan: this lavapipe is of Mesa 22 and ends in goldens. FETCH_LAVAPIPE=yes takes a newer one.\n' >&2
    fi
}

part=${1:-all}

if [ "$part" = all ] || [ "$part" = pictures ]; then
    go test -tags vulkan -count=1 -timeout 60m ./runtime/pipeline -run '^TestVulkan'
fi
if [ "$part" = all ] || [ "$part" = devices ]; then
    # Under two names one driver is two devices.
    mkdir -p build/two-devices
    for name in one two; do cp "$driver" "build/two-devices/$name.json"; done
    VK_DRIVER_FILES=$PWD/build/two-devices/one.json:$PWD/build/two-devices/two.json GGML_VK_VISIBLE_DEVICES=0,1 \
        go test -tags vulkan -count=1 -timeout 20m ./runtime/pipeline -run '^TestTwoVulkanDevices'
fi
if [ "$part" = all ] || [ "$part" = worker ]; then
    go test -tags vulkan -count=1 -timeout 30m ./cli/e2e -run '^TestLost(Vulkan)?Device$'
fi
if [ "$part" = all ] || [ "$part" = goldens ]; then
    # The CPU's own tests of features, computed on the device where they name none, and features against the CPU.
    # Without half precision, to which ggml would round the factors of products. ggml waits for each submission: otherwise it spins, and
    # takes a core from the device.
    use_newer_lavapipe
    goldens='Text|RunsExact|ControlNet|ControlNetUnion|ControlRuns|T2IAdapter|ImageEncoder|IPAdapterRuns|RegionAttention|TAESD|ESRGAN|Refiner|Boxes'
    GGML_VK_DISABLE_F16=1 GGML_VK_SERIALIZE_SUBMISSIONS=1 DAGUERRE_DEVICE=vulkan:0 \
        go test -tags vulkan -count=1 -timeout 90m ./runtime/pipeline -run \
        "^Test(Golden($goldens)|ExactVulkanFeatures)\$"
fi
