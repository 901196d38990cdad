#!/usr/bin/env bash
# Builds libdaguerre for one variant and bin/daguerre. `./build.sh --help` says how.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$PWD
. cmake/build/lib.sh
. cmake/build/debian.sh
. cmake/build/tools.sh
. cmake/build/zig.sh
. cmake/build/vulkan.sh
. cmake/build/engine.sh
. cmake/build/native.sh
. cmake/build/gobinary.sh

usage() {
    cat <<'TEXT'
usage: ./build.sh [cpu|vulkan|cuda] [options]

  --debug                  our sources without optimisation, with symbols (build/<variant>-debug)
  --asan                   address and undefined behaviour sanitizers, with native tests (build/asan)
  --portable               for any x86-64-v3 CPU instead of this one (build/<variant>-portable)
  --target SYSTEM-CPU      for another system, with zig's compiler: linux-amd64, linux-arm64, windows-amd64
                           or darwin-arm64 (build/<target>-<variant>)
  --level LEVEL[,LEVEL]    a library for CPUs with these instructions, its name ends in it: avx2, avx512,
                           bf16, amx; on arm64 neon, dotprod, i8mm (docs/install.md)
  --engine-from FILE       take the engine's sources from this archive or folder instead of from cargo; they
                           must be the pinned ones (make engine-archive writes such an archive)
  --tests                  also build native/tests
  --sources-only           stop after the engine's sources
  --engine-only            stop after the engine's archives
  --library-only           do not build bin/daguerre
  --fetch-vulkan-headers   Debian: fetch newer Vulkan headers into build/tools, then build
  --check-tools            only check that the tools are there
  --check-cached           only check that the engine need not be compiled: its archives are here or cached

environment:
  DAGUERRE_ENGINE_DIR      a tree with ggml (llama.cpp's, ggml's) to build instead of the pinned sources
  DAGUERRE_SDCPP_DIR       a stable-diffusion.cpp tree to take CLIP's merge table from instead of the pinned one
  DAGUERRE_VULKAN_HEADERS  folder that holds vulkan/vulkan.hpp, 1.3.261 or newer
  DAGUERRE_VULKAN_SHADERS  all, or sdxl: a third of ggml's shaders, without those that SDXL never runs; default: all
  DAGUERRE_CUDA_ARCH       CUDA architectures for CMake, e.g. 80 or "86;89"; default: of the GPU here; --portable: 80 86 89 90 120
  DAGUERRE_JOBS            parallel compile jobs; default: all processors
  DAGUERRE_BUILD_CACHE=off do not reuse or store finished builds in ~/.cache/daguerre/build
  CC, CXX                  compilers
TEXT
}

# One function, read in full before it runs: editing this file does not disturb a running build.
main() {
    variant=cpu flavour=release levels="" named_level=OFF engine_from="" target="" tests=OFF fetch_headers=no
    stop_after=all
    local arg
    while [ $# != 0 ]; do
        arg=$1
        shift
        case $arg in
            cpu | vulkan | cuda) variant=$arg ;;
            --debug) flavour=debug ;;
            --asan) flavour=asan tests=ON ;;
            --portable) levels=portable ;;
            --target | --level | --engine-from)
                [ $# != 0 ] || die "$arg needs a value" 2
                case $arg in
                    --target) target=$1 ;;
                    --level) levels=$1 named_level=ON ;;
                    --engine-from) engine_from=$(cd "$called_from" && realpath -m -- "$1") ;;
                esac
                shift
                ;;
            --tests) tests=ON ;;
            --sources-only) stop_after=sources ;;
            --engine-only) stop_after=engine ;;
            --library-only) stop_after=library ;;
            --fetch-vulkan-headers) fetch_headers=yes ;;
            --check-tools) stop_after=tools ;;
            --check-cached) stop_after=cached ;;
            -h | --help) usage; exit 0 ;;
            *) usage >&2; die "unknown argument '$arg'" 2 ;;
        esac
    done
    if [ $variant = cuda ] && [ -n "$target" ]; then
        die "--target is for the cpu and vulkan variants: CUDA's compiler needs the system's own" 2
    fi
    if [ $flavour = asan ] && [ $variant != cpu ]; then
        die "--asan is for the cpu variant: GPU drivers are not built with sanitizers" 2
    fi
    choose_target
    steps=${DAGUERRE_STEPS:-3}
    jobs=${DAGUERRE_JOBS:-$(nproc)}

    build_name=${target:+$target-}$variant
    [ $flavour != debug ] || build_name=$build_name-debug
    [ $flavour != asan ] || build_name=asan
    if [ $named_level = ON ]; then
        build_name=$build_name-${levels//,/-}
    elif [ -z "$target" ] && [ -n "$levels" ]; then
        build_name=$build_name-portable
    fi
    build_dir=$root/build/$build_name

    [ $fetch_headers = no ] || fetch_vulkan_headers
    check_tools "$variant"
    [ $stop_after != tools ] || return 0
    if [ $stop_after = cached ]; then
        engine_is_cached && return 0
        die "the engine for $variant is not compiled yet"
    fi

    mkdir -p build
    # A module of its own, so that `go list ./...` does not find the Go files among vendored sources.
    [ -f build/go.mod ] || printf 'module build\n' >build/go.mod
    exec 9>"build/$build_name.lock"
    if command -v flock >/dev/null && ! flock -n 9; then
        note "another build of $build_name is running; waiting for it"
        flock 9
    fi

    [ -z "$target" ] || install_zig
    prepare_engine_sources
    [ $stop_after != sources ] || return 0
    build_engine
    [ $stop_after != engine ] || return 0
    build_library
    [ $stop_after != library ] || return 0
    build_binary
}

main "$@"
exit
