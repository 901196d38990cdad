#!/usr/bin/env bash
# Builds the archives of a release into build/release: `make release` calls it. RELEASES names those that are wanted.
#
#     RELEASES="linux-amd64-cpu linux-arm64-cpu" tools/release.sh
#
# LEVELS, for a quick look, names other levels than a release has: LEVELS=avx2 tools/release.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

all="linux-amd64-cpu linux-arm64-cpu windows-amd64-cpu darwin-arm64-cpu linux-amd64-vulkan linux-arm64-vulkan windows-amd64-vulkan"
out=${RELEASE:-build/release}
zig=build/tools/zig-$(cat cmake/toolchains/zig-version)

die() {
    echo "release: $*" >&2
    exit 1
}

levels_of() { # target: the levels of its CPU libraries; "" for one library without a level
    case $1 in
        linux-amd64) echo "${LEVELS:-avx2,avx512,bf16,amx}" ;;
        windows-amd64) echo "${LEVELS:-avx2,avx512,bf16}" ;; # programs may not use AMX there without asking
        linux-arm64) echo "${LEVELS:-neon,dotprod,i8mm}" ;;
        darwin-arm64) ;;
        *) die "unknown target '$1'" ;;
    esac
}

# The commit's own time and name, so that every build of it is the same.
version=$(sed -n 's/^project(daguerre VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
[ -n "$version" ] || die "CMakeLists.txt names no version"
commit=$(git rev-parse --short=12 HEAD) || die "a release is made of a commit: this is no clone"
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct HEAD)}
[ -z "$(git status --porcelain --untracked-files=no)" ] || commit=$commit-dirty
export SOURCE_DATE_EPOCH=$epoch DAGUERRE_VERSION=$version+$commit
# A third of ggml's shaders: those that a model of ours can need (docs/gpu.md).
export DAGUERRE_VULKAN_SHADERS=${DAGUERRE_VULKAN_SHADERS:-sdxl}
export GOFLAGS="-trimpath -buildvcs=false" GOAMD64=v1 GOARM64=v8.0

# Archives of another commit must not get into these sums.
if [ "$(cat "$out/.commit" 2>/dev/null)" != "$DAGUERRE_VERSION" ]; then
    rm -f "$out"/daguerre-*.tar.gz "$out"/daguerre-*.zip "$out"/SHA256SUMS*
    mkdir -p "$out"
    printf '%s\n' "$DAGUERRE_VERSION" >"$out/.commit"
fi

# The program of this machine writes manual pages and completions.
CGO_ENABLED=0 go build -o build/release-host/daguerre ./cli/daguerre

for archive in ${RELEASES:-$all}; do
    variant=${archive##*-}
    target=${archive%-*}
    system=${target%-*}
    libraries=()
    # Beside a DLL the linker also writes its import library, which the build cache does not keep, and which nobody needs here.
    case $system in windows) shared=dll ;; darwin) shared=dylib ;; *) shared=so ;; esac
    levels=$(levels_of "$target")
    echo "== $archive"
    if [ "$variant" != cpu ]; then
        # Its own CPU code is for the lowest level: the work is on the GPU. Without a GPU the CPU libraries beside it are taken.
        # Debian 13's headers, on every machine that can fetch them: other headers make other bytes.
        headers=()
        [ -n "${DAGUERRE_VULKAN_HEADERS:-}" ] || ! command -v apt-get >/dev/null || headers=(--fetch-vulkan-headers)
        ./build.sh "$variant" --target "$target" --library-only "${headers[@]}"
        libraries+=("build/$target-$variant"/*daguerre-"$variant.$shared")
    fi
    if [ -n "$levels" ]; then
        ./build.sh --target "$target" --level "$levels"
        libraries+=("build/$target-cpu-${levels//,/-}"/*daguerre-cpu-*."$shared")
    else
        ./build.sh --target "$target"
        libraries+=("build/$target-cpu"/*daguerre-cpu."$shared")
    fi
    program=bin/$target/daguerre
    [ "$system" != windows ] || program=$program.exe
    go run ./tools/release -target "$target" -variant "$variant" -version "$version" -program "$program" -host build/release-host/daguerre \
        -zig "$zig" -time "$epoch" -out "$out" "${libraries[@]}"
done
go run ./tools/release -sums -out "$out"
