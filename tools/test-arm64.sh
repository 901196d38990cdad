#!/usr/bin/env bash
# Builds program and libraries for Linux on ARM and runs them under QEMU's emulator of user programs: native tests, Go tests of what
# depends on the CPU, and the program itself against this machine's own. docs/arm64.md tells what this shows and what not.
# Needs Debian's qemu-user-static and libc6-arm64-cross, and binfmt_misc: as root this script registers the emulator while it runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'test-arm64: %s\n' "$1" >&2
    exit 1
}

sysroot=/usr/aarch64-linux-gnu
binfmt=/proc/sys/fs/binfmt_misc
registered=

emulator() {
    command -v qemu-aarch64-static || command -v qemu-aarch64 || fail "QEMU is missing: apt install qemu-user-static"
}

# The program starts itself anew, so that the kernel must know who runs files for ARM.
register() {
    [ -e $binfmt/register ] || mount -t binfmt_misc none $binfmt 2>/dev/null || true
    grep -lqs '^interpreter .*qemu-aarch64' $binfmt/* && return
    # The header of an ELF file for ARM: what must be there, and which bits of it count. The kernel reads the backslashes.
    local header='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf '%s' ":daguerre-arm64:M::$header:$mask:$1:F" 2>/dev/null >$binfmt/register ||
        fail "no emulator is registered in $binfmt: apt install binfmt-support, or run this as root"
    registered=daguerre-arm64
}

unregister() {
    [ -z "$registered" ] || echo -1 >"$binfmt/$registered"
}

step() { printf -- '-- %s (%d s)\n' "$1" $SECONDS; }

qemu=$(emulator)
[ -e $sysroot/lib/ld-linux-aarch64.so.1 ] || fail "the C library for ARM is missing: apt install libc6-arm64-cross"
[ -f build/cpu/libdaguerre-cpu.so ] && [ -x bin/daguerre ] || fail "this machine's own library is missing: make"
trap unregister EXIT
register "$qemu"
export QEMU_LD_PREFIX=$sysroot

./build.sh cpu --target linux-arm64 --level neon,dotprod,i8mm --tests --library-only
libraries=$PWD/build/linux-arm64-cpu-neon-dotprod-i8mm

step "native tests"
go run ./tools/nanopath -table "$libraries/nano.table"
DAGUERRE_TEST_TABLE=$libraries/nano.table ctest --test-dir "$libraries" --output-on-failure -j "${DAGUERRE_JOBS:-$(nproc)}"

step "Go tests of what depends on the CPU"
zig=$PWD/build/tools/zig-$(cat cmake/toolchains/zig-version)/bin/zig
export CGO_ENABLED=0 DAGUERRE_LIBRARY=$libraries
CC="$zig cc -target aarch64-linux-gnu" GOARCH=arm64 go test -timeout 20m ./bindings ./internal/machine ./internal/identity ./runtime/rng

step "the program"
DAGUERRE_TEST_GOARCH=arm64 DAGUERRE_TEST_HOST_LIBRARY=$PWD/build/cpu DAGUERRE_TEST_HOST_PROGRAM=$PWD/bin/daguerre \
    go test -tags emulated -count 1 -timeout 30m -v -run 'TestEmulated|TestWorkerSurvivesKills|TestVersion' ./cli/e2e
step "done"
