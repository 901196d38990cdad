#!/usr/bin/env bash
# Builds program and library for Windows and runs them under Wine: Go tests of what depends on the system, the audit of the bindings'
# layout, and the program itself against this machine's own. docs/windows.md tells what this shows and what not.
# Needs Debian's wine64.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'test-wine: %s\n' "$1" >&2
    exit 1
}

step() { printf -- '-- %s (%d s)\n' "$1" $SECONDS; }

wine=$(command -v wine64 || echo /usr/lib/wine/wine64)
[ -x "$wine" ] || fail "Wine is missing: apt install wine64"
[ -f build/cpu/libdaguerre-cpu.so ] || fail "this machine's own library is missing: make"

# The libraries of a release: one for each level. All but TestWineLevels take the lowest.
./build.sh cpu --target windows-amd64 --level avx2,avx512,bf16
library=$PWD/build/windows-amd64-cpu-avx2-avx512-bf16/daguerre-cpu-avx2.dll
for each in "${library%-*}"-*.dll; do go run ./tools/exports -complete "$each"; done

step "Wine"
tools/wine/setup.sh

step "layout of the bindings"
zig=$PWD/build/tools/zig-$(cat cmake/toolchains/zig-version)
export ZIG_GLOBAL_CACHE_DIR=$zig/cache ZIG_LOCAL_CACHE_DIR=$zig/cache
DAGUERRE_TEST_LAYOUT_SOURCE=$PWD/build/.wine/layout.c go test -count 1 -run 'TestLayoutAgreesWithTheHeader' ./bindings
"$zig/bin/zig" cc -target x86_64-windows-gnu -std=c11 -Inative/include -o build/.wine/layout.exe build/.wine/layout.c
tools/wine/exec.sh build/.wine/layout.exe >build/.wine/layout.txt

step "Go tests"
# Wine 8 makes no symbolic links and says it did, so that tests of them are left out.
on_wine() {
    CGO_ENABLED=0 GOOS=windows go test -overlay build/.wine/overlay.json -exec "$PWD/tools/wine/exec.sh" -timeout 20m "$@"
}
DAGUERRE_TEST_LAYOUT=$PWD/build/.wine/layout.txt on_wine -run 'TestLayout|TestReadySetsSizes' ./bindings
on_wine ./internal/rename ./internal/identity ./internal/machine ./internal/regular ./internal/service ./internal/modelfile/writer ./runtime/rng
on_wine -skip 'TestJournalIsNoLink/a_.*link|TestLinksAtOutputs|TestDamagedJournals|FuzzJournal' ./internal/output

step "the program"
DAGUERRE_TEST_WINDOWS_PROGRAM=$PWD/bin/windows-amd64/daguerre.exe DAGUERRE_TEST_WINDOWS_LIBRARY=$library \
    go test -tags wine -count 1 -timeout 20m -v -run 'TestWine' ./cli/e2e
step "done"
