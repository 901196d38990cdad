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
        step 1 "engine sources" "$engine_pin (checksum ok)${engine_from:+, from $engine_from}"
    fi
}

# A local tree may change without a key of ours, so what is built of one is never cached.
engine_is_pinned() { [ -z "${DAGUERRE_ENGINE_DIR:-}${DAGUERRE_SDCPP_DIR:-}" ]; }

# The pinned sources in build/engine, from cargo or from --engine-from.
fetch_engine() {
    local vendor=$root/build/engine
    [ -n "$engine_from" ] || ! engine_is_here || return 0
    (
        # Variants may be built at the same time; they share the sources.
        exec 8>"$root/build/engine.lock"
        ! command -v flock >/dev/null || flock 8
        [ -z "$engine_from" ] && engine_is_here || vendor_engine "$vendor"
    )
}

engine_is_here() { [ "$(cat "$root/build/engine/.lock" 2>/dev/null)" = "$(sha <third_party/engine/Cargo.lock)" ]; }

# Whoever brings the sources: they are those of third_party/engine/tree.sha256, or they are not taken.
vendor_engine() { # destination
    local new=$1.new pin
    rm -rf "$new"
    mkdir -p "$new"
    if [ -n "$engine_from" ]; then
        bring_engine "$new"
    else
        download_engine "$new"
    fi
    # Only these two are compiled; the crates that their Rust build scripts would use are not.
    find "$new" -mindepth 1 -maxdepth 1 ! -name $ggml_pin ! -name $sdcpp_pin -exec rm -rf {} +
    for pin in $ggml_pin/llama.cpp/ggml/CMakeLists.txt $sdcpp_pin/stable-diffusion.cpp/src/tokenizers/vocab/clip_merges.hpp; do
        [ -f "$new/$pin" ] || die "the sources hold no $pin: are they those of another version, or has the crate another layout?"
    done
    go run ./tools/enginetree -check "$new" ||
        die "these sources are refused; after a change of the pins, third_party/engine/README.md says how to renew the hash"
    sha <third_party/engine/Cargo.lock >"$new/.lock"
    rm -rf "$1"
    mv "$new" "$1"
}

download_engine() { # into
    local log=$root/build/vendor.log
    if ! cargo vendor --locked --manifest-path third_party/engine/Cargo.toml "$1" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        die "cargo could not fetch the engine's sources; without network give them with --engine-from (make engine-archive writes such a file)"
    fi
}

bring_engine() { # into; from the archive or folder $engine_from
    local folder=$engine_from pin
    if [ -f "$engine_from" ]; then
        folder=$1/.unpacked
        mkdir "$folder"
        tar -xf "$engine_from" -C "$folder" || die "--engine-from $engine_from is no archive that tar can unpack"
    fi
    [ -d "$folder" ] || die "--engine-from $engine_from: there is no such file or folder" 2
    [ -d "$folder/$ggml_pin" ] || folder=$(dirname "$(find "$folder" -maxdepth 2 -type d -name $ggml_pin | head -n 1)")
    for pin in $ggml_pin $sdcpp_pin; do
        [ -d "$folder/$pin" ] || die "--engine-from $engine_from holds no folder $pin, at its top or one below"
        if [ -f "$engine_from" ]; then mv "$folder/$pin" "$1/"; else cp -R "$folder/$pin" "$1/"; fi
    done
}

# Everything that decides what the archives contain.
engine_key() {
    {
        echo "$variant $levels $engine_flavour $target_cpu $target"
        describe_compiler
        cat third_party/engine/Cargo.lock third_party/engine/*.cmake third_party/engine/CMakeLists.txt third_party/engine/*.{cpp,h} cmake/flags.cmake cmake/levels.cmake
        case $variant in
            vulkan)
                glslc --version
                cat "$(vulkan_headers)/vulkan/vulkan_core.h" third_party/engine/vulkan/*
                echo "${DAGUERRE_VULKAN_SHADERS:-all}"
                ;;
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
    elif [ -n "$levels" ]; then
        echo "80-real;86-real;89-real;90;120-real"
    else
        echo native
    fi
}

# CMake options that the engine's project and ours need for a variant's libraries.
variant_options() {
    # On Apple's systems ggml would add its GPU backend, and Apple's sums of products to that of the CPU.
    case ${target:-$(uname -s)} in
        darwin-* | Darwin) options=(-DGGML_METAL=OFF -DGGML_BLAS=OFF -DGGML_ACCELERATE=OFF) ;;
    esac
    case $variant in
        vulkan)
            if [ -n "$target" ]; then cross_vulkan; else options=(-DVulkan_INCLUDE_DIR="$(vulkan_headers)"); fi
            options+=(-DDAGUERRE_VULKAN_SHADERS="${DAGUERRE_VULKAN_SHADERS:-all}")
            share_shaders
            ;;
        cuda)
            options=(-DCMAKE_CUDA_ARCHITECTURES="$(cuda_architectures)")
            [ -z "${CUDACXX:-}" ] || options+=(-DCMAKE_CUDA_COMPILER="$CUDACXX")
            [ -z "${CUDAToolkit_ROOT:-}" ] || options+=(-DCUDAToolkit_ROOT="$CUDAToolkit_ROOT")
            ;;
    esac
}
