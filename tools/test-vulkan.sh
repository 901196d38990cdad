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
# A batch of one prompt, whose texts are shared.
for device in vulkan:0 cpu; do
    DAGUERRE_LIBRARY=$library bin/daguerre generate --quiet --fresh --overwrite --model nano --device "$device" --steps 6 --seed 3 -n 2 --batch 2 \
        --prompt 'a red circle on a blue background' -o "$out/${device%%:*}-{index}.png"
done
echo "PSNR between vulkan:0 (lavapipe) and cpu, at least 40 dB wanted:"
for picture in '' -0 -1; do
    go run ./tools/recorder -psnr 40 "$out/vulkan$picture.png" "$out/cpu$picture.png"
done
