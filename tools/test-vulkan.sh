#!/usr/bin/env bash
# Makes the demo's picture on Mesa's lavapipe, Vulkan in software, and compares it with the CPU's.
# The device is named, because a software device is never chosen by itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'test-vulkan: %s\n' "$1" >&2
    exit 1
}

library=$PWD/build/vulkan/libdaguerre-vulkan.so
[ -f "$library" ] || fail "$library is missing: make vulkan"
[ -x bin/daguerre ] || fail "bin/daguerre is missing: make vulkan"
compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' >/dev/null ||
    fail "Mesa's lavapipe is missing: apt install mesa-vulkan-drivers"

# Only lavapipe, on machines that have a GPU, too; ggml takes a software device only if it is named.
export VK_LOADER_DRIVERS_SELECT='*lvp*' GGML_VK_VISIBLE_DEVICES=0
out=build/test-vulkan
mkdir -p "$out"
rm -f "$out"/*.png
DAGUERRE_LIBRARY=$library bin/daguerre devices
DAGUERRE_LIBRARY=$library bin/daguerre demo --quiet --device vulkan:0 -o "$out/vulkan.png"
DAGUERRE_LIBRARY=$library bin/daguerre demo --quiet --device cpu -o "$out/cpu.png"
echo "PSNR between vulkan:0 (lavapipe) and cpu, at least 40 dB wanted:"
go run ./tools/psnr "$out/vulkan.png" "$out/cpu.png" 40
