# shellcheck shell=bash
# Cross compiling: zig's clang in build/tools, from the Python package index. Nothing is installed elsewhere.

targets="linux-amd64 linux-arm64 windows-amd64 darwin-arm64"

install_zig() {
    local version dir
    version=$(cat cmake/toolchains/zig-version)
    dir=$root/build/tools/zig-$version
    # What zig keeps of C libraries it has compiled is not in the home folder, and `rm -rf build` removes it.
    export ZIG_GLOBAL_CACHE_DIR=${ZIG_GLOBAL_CACHE_DIR:-$dir/cache} ZIG_LOCAL_CACHE_DIR=${ZIG_LOCAL_CACHE_DIR:-$dir/cache}
    [ ! -x "$dir/bin/zig-ranlib" ] || return 0
    python3 -c 'import venv, ensurepip' 2>/dev/null || die "--target needs python3 with venv, to get zig: apt install python3-venv"
    note "fetching zig $version"
    python3 -m venv "$dir" && "$dir/bin/pip" install --quiet --disable-pip-version-check "ziglang==$version" ||
        die "pip could not install ziglang==$version"
    local zig tool
    zig=$(cd "$dir" && echo lib/python3*/site-packages/ziglang/zig)
    [ -x "$dir/$zig" ] || die "the package ziglang $version holds no zig"
    # Nothing in the folder names its place: it may be copied.
    ln -sf "../$zig" "$dir/bin/zig"
    for tool in ar ranlib; do
        printf '#!/bin/sh\nexec "${0%%/*}/zig" %s "$@"\n' $tool >"$dir/bin/zig-$tool"
        chmod +x "$dir/bin/zig-$tool"
    done
}

# Sets what follows from --target and --level: target_cpu, toolchain, levels. Without a level a target gets its lowest.
choose_target() {
    local lowest=avx2 level known
    target_cpu=$(uname -m)
    [ "$target_cpu" = x86_64 ] || lowest=neon
    toolchain=()
    if [ -n "$target" ]; then
        [ -f "cmake/toolchains/$target.cmake" ] || die "unknown target '$target'; the targets are $targets" 2
        toolchain=(-DCMAKE_TOOLCHAIN_FILE="$root/cmake/toolchains/$target.cmake")
        case $target in
            *-amd64) target_cpu=x86_64 lowest=avx2 ;;
            darwin-arm64) target_cpu=aarch64 lowest=dotprod ;; # Apple's first has it
            *) target_cpu=aarch64 lowest=neon ;;
        esac
        [ $flavour != asan ] || die "--asan builds for this machine only" 2
    fi
    [ "$levels" != portable ] || levels=$lowest
    [ -z "$target" ] || levels=${levels:-$lowest}
    known="neon dotprod i8mm"
    [ "$target_cpu" != x86_64 ] || known="avx2 avx512 bf16 amx"
    for level in ${levels//,/ }; do
        [[ " $known " = *" $level "* ]] || die "unknown level '$level'; the levels of $target_cpu are ${known// /, }" 2
    done
}

# The version of the compiler, and what it takes the CPU for: parts of the keys of finished builds.
describe_compiler() {
    if [ -n "$target" ]; then
        cat cmake/toolchains/zig-version cmake/toolchains/zig.cmake "cmake/toolchains/$target.cmake"
        return
    fi
    local arch=()
    if [ -z "$levels" ]; then
        case $(uname -m) in
            x86_64) arch=(-march=native) ;;
            *) arch=(-mcpu=native) ;;
        esac
    fi
    "${CC:-cc}" --version
    "${CXX:-c++}" --version
    "${CC:-cc}" "${arch[@]}" -dM -E -x c /dev/null
}
