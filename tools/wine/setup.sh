#!/usr/bin/env bash
# Makes build/.wine: a Wine prefix in which Go programs run, and what Go's tests need there. Wine 8 lacks two things:
# - bcryptprimitives.dll, which Go programs load (processprng.c stands in for it);
# - deleting by FileDispositionInformationEx. Go has another way for old Windows, but does not take it for Wine's answer, so that
#   os.RemoveAll fails. overlay.json makes it take that way: go test -overlay build/.wine/overlay.json.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
zig=$root/build/tools/zig-$(cat cmake/toolchains/zig-version)
export ZIG_GLOBAL_CACHE_DIR=$zig/cache ZIG_LOCAL_CACHE_DIR=$zig/cache
prefix=build/.wine/prefix system=build/.wine/prefix/drive_c/windows/system32

if [ ! -f $prefix/.complete ]; then
    rm -rf $prefix
    mkdir -p $prefix
    tools/wine/exec.sh wineboot --init >build/.wine/wineboot.log 2>&1 || { cat build/.wine/wineboot.log >&2; exit 1; }
    if [ ! -f $system/bcryptprimitives.dll ]; then
        "$zig/bin/zig" cc -target x86_64-windows-gnu -Os -shared -o build/.wine/bcryptprimitives.dll tools/wine/processprng.c -ladvapi32
        cp build/.wine/bcryptprimitives.dll $system/
    fi
    touch $prefix/.complete
fi

source=$(go env GOROOT)/src/internal/syscall/windows/at_windows.go
sed 's/^\tif TestDeleteatFallback {$/\tif true {/' "$source" >build/.wine/at_windows.go
cmp -s "$source" build/.wine/at_windows.go && { echo "tools/wine/setup.sh: $source has changed" >&2; exit 1; }
printf '{"Replace": {"%s": "%s"}}\n' "$source" "$root/build/.wine/at_windows.go" >build/.wine/overlay.json
