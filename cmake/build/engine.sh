# shellcheck shell=bash
# The engine: its sources, vendored by cargo with the checksums of Cargo.lock, and its archives.

ggml_pin=llama-cpp-sys-2
sdcpp_pin=diffusion-rs-sys

pinned_version() { sed -n "s/^$1 = \"=\(.*\)\"/\1/p" third_party/engine/Cargo.toml; }

# ggml's folder in a tree of llama.cpp, of ggml itself or of another program that has it.
ggml_in() {
    local dir
    for dir in "$1/ggml" "$1" "$1/llama.cpp/ggml" "$1/stable-diffusion.cpp/ggml"; do
        [ ! -f "$dir/include/ggml.h" ] || { printf '%s\n' "$dir"; return; }
    done
}

sdcpp_in() {
    local dir
    for dir in "$1" "$1/stable-diffusion.cpp"; do
        [ ! -f "$dir/src/tokenizers/vocab/clip_merges.hpp" ] || { printf '%s\n' "$dir"; return; }
    done
}

ggml_version() { # as ggml's CMakeLists.txt in $ggml_dir says it
    sed -n 's/^set(GGML_VERSION_\(MAJOR\|MINOR\|PATCH\) \([0-9]*\))/\2/p' "$ggml_dir/CMakeLists.txt" | paste -sd .
}

# Sets ggml_dir, sdcpp_dir, and what the library says of the engine: engine_pin.
prepare_engine_sources() {
    local own=${DAGUERRE_ENGINE_DIR:-} tables=${DAGUERRE_SDCPP_DIR:-} given
    ggml_dir="" sdcpp_dir=""
    if [ -n "$own" ]; then
        given=$(cd "$own" 2>/dev/null && pwd) || die "DAGUERRE_ENGINE_DIR=$own is no folder"
        ggml_dir=$(ggml_in "$given")
        [ -n "$ggml_dir" ] || die "DAGUERRE_ENGINE_DIR=$own holds no ggml (ggml/include/ggml.h)"
        sdcpp_dir=$(sdcpp_in "$given")
    fi
    if [ -n "$tables" ]; then
        given=$(cd "$tables" 2>/dev/null && pwd) || die "DAGUERRE_SDCPP_DIR=$tables is no folder"
        sdcpp_dir=$(sdcpp_in "$given")
        [ -n "$sdcpp_dir" ] || die "DAGUERRE_SDCPP_DIR=$tables is no stable-diffusion.cpp with src/tokenizers/vocab/clip_merges.hpp"
    fi
    if [ -z "$ggml_dir" ] || [ -z "$sdcpp_dir" ]; then
        fetch_engine
        : "${ggml_dir:=$root/build/engine/$ggml_pin/llama.cpp/ggml}"
        : "${sdcpp_dir:=$root/build/engine/$sdcpp_pin/stable-diffusion.cpp}"
    fi
    if [ -n "$own" ]; then
        engine_pin="ggml $(ggml_version) (local tree)"
        step 1 "engine sources" "ggml $(ggml_version) of $own"
    else
        engine_pin="ggml $(ggml_version) ($ggml_pin $(pinned_version $ggml_pin))"
        step 1 "engine sources" "$engine_pin (checksum ok)"
    fi
}

# A local tree may change without a key of ours, so what is built of one is never cached.
engine_is_pinned() { [ -z "${DAGUERRE_ENGINE_DIR:-}${DAGUERRE_SDCPP_DIR:-}" ]; }

# The pinned sources in build/engine.
fetch_engine() {
    local vendor=$root/build/engine lock
    lock=$(sha <third_party/engine/Cargo.lock)
    [ "$(cat "$vendor/.lock" 2>/dev/null)" != "$lock" ] || return 0
    (
        # Variants may be built at the same time; they share the sources.
        exec 8>"$root/build/engine.lock"
        ! command -v flock >/dev/null || flock 8
        [ "$(cat "$vendor/.lock" 2>/dev/null)" = "$lock" ] || vendor_engine "$vendor" "$lock"
    )
}

vendor_engine() { # destination, hash of the lock file
    local new=$1.new log=$root/build/vendor.log pin
    rm -rf "$new" "$1"
    mkdir -p "$new"
    if ! cargo vendor --locked --manifest-path third_party/engine/Cargo.toml "$new" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        die "cargo could not fetch the engine's sources; without network set DAGUERRE_ENGINE_DIR to a llama.cpp tree and DAGUERRE_SDCPP_DIR to a stable-diffusion.cpp tree"
    fi
    # Only these two are compiled; the crates that their Rust build scripts would use are not.
    find "$new" -mindepth 1 -maxdepth 1 ! -name $ggml_pin ! -name $sdcpp_pin -exec rm -rf {} +
    for pin in $ggml_pin/llama.cpp/ggml/CMakeLists.txt $sdcpp_pin/stable-diffusion.cpp/src/tokenizers/vocab/clip_merges.hpp; do
        [ -f "$new/$pin" ] || die "the pinned sources hold no $pin; has the crate another layout?"
    done
    printf '%s\n' "$2" >"$new/.lock"
    mv "$new" "$1"
}

# Everything that decides what the archives contain.
engine_key() {
    {
        echo "$variant $levels $engine_flavour $target_cpu $target"
        describe_compiler
        cat third_party/engine/Cargo.lock third_party/engine/*.cmake third_party/engine/CMakeLists.txt third_party/engine/*.{cpp,h} cmake/flags.cmake cmake/levels.cmake
        case $variant in
            vulkan) glslc --version; cat "$(vulkan_headers)/vulkan/vulkan_core.h" ;;
            cuda) "${CUDACXX:-nvcc}" --version; cuda_architectures ;;
        esac
    } | sha
}

# Debug builds of ours use the optimised engine: without optimisation it is useless.
locate_engine() { # sets engine_flavour, engine_build, engine_lib, engine_hash
    engine_flavour=$flavour
    [ "$flavour" != debug ] || engine_flavour=release
    engine_build=$root/build/engine-${target:+$target-}$variant${levels:+-${levels//,/-}}
    [ "$engine_flavour" != asan ] || engine_build=$root/build/engine-asan
    engine_lib=$engine_build/lib
    engine_hash=$(engine_key)
}

engine_is_cached() {
    locate_engine
    [ "$(cat "$engine_build/.key" 2>/dev/null)" = "engine-$engine_hash" ] || cache_has "engine-$engine_hash"
}

# Archives in $engine_lib, from the cache where it has them.
build_engine() {
    locate_engine
    local dir=$engine_build key=engine-$engine_hash
    # Builds of two flavours may share these archives.
    exec 8>"$dir.lock"
    ! command -v flock >/dev/null || flock 8
    build_archives
    exec 8>&-
}

build_archives() {
    if engine_is_pinned; then
        [ "$(cat "$dir/.key" 2>/dev/null)" != "$key" ] || return 0
        rm -f "$dir/.key"
        if cache_get "$key" "$engine_lib"; then
            printf '%s\n' "$key" >"$dir/.key"
            note "engine for $variant from $(cache_root)"
            return
        fi
    fi
    local asan=OFF options=()
    [ $engine_flavour = asan ] && asan=ON
    variant_options
    configure third_party/engine "$dir" -DDAGUERRE_GGML_DIR="$ggml_dir" -DDAGUERRE_SDCPP_DIR="$sdcpp_dir" \
        -DDAGUERRE_VARIANT="$variant" -DDAGUERRE_LEVELS="${levels//,/;}" "${toolchain[@]}" -DDAGUERRE_ASAN=$asan "${options[@]}"
    compile "      engine for $variant" "$dir"
    if engine_is_pinned; then
        cache_put "$key" 24 "$engine_lib"/*.a
        printf '%s\n' "$key" >"$dir/.key"
    fi
}

# Those asked for, those of the GPU here, or, in a library for any machine, code for RTX 30 to 50, A100 and H100. The PTX of
# 90 is for what comes after them.
cuda_architectures() {
    if [ -n "${DAGUERRE_CUDA_ARCH:-}" ]; then
        printf '%s\n' "$DAGUERRE_CUDA_ARCH"
    elif [ $portable = ON ]; then
        echo "80-real;86-real;89-real;90;120-real"
    else
        echo native
    fi
}

# CMake options that the engine's project and ours need for a variant's libraries.
variant_options() {
    case $variant in
        vulkan) options=(-DVulkan_INCLUDE_DIR="$(vulkan_headers)") ;;
        cuda)
            options=(-DCMAKE_CUDA_ARCHITECTURES="$(cuda_architectures)")
            [ -z "${CUDACXX:-}" ] || options+=(-DCMAKE_CUDA_COMPILER="$CUDACXX")
            [ -z "${CUDAToolkit_ROOT:-}" ] || options+=(-DCUDAToolkit_ROOT="$CUDAToolkit_ROOT")
            ;;
    esac
}
