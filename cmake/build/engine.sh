# shellcheck shell=bash
# The engine: its sources, vendored by cargo with the checksums of Cargo.lock, and its archives.

pin_name=diffusion-rs-sys
pin_version=$(sed -n "s/^$pin_name = \"=\(.*\)\"/\1/p" third_party/engine/Cargo.toml)

prepare_engine_sources() {
    if [ -n "${DAGUERRE_ENGINE_DIR:-}" ]; then
        engine_dir=$(cd "$DAGUERRE_ENGINE_DIR" 2>/dev/null && pwd) || die "DAGUERRE_ENGINE_DIR=$DAGUERRE_ENGINE_DIR is no folder"
        [ -f "$engine_dir/ggml/CMakeLists.txt" ] || engine_dir=$engine_dir/stable-diffusion.cpp
        [ -f "$engine_dir/ggml/CMakeLists.txt" ] ||
            die "DAGUERRE_ENGINE_DIR=$DAGUERRE_ENGINE_DIR holds no stable-diffusion.cpp with ggml"
        engine_pin="local tree"
        step 1 "engine sources" "$DAGUERRE_ENGINE_DIR"
        return
    fi
    local vendor=$root/build/engine lock
    lock=$(sha <third_party/engine/Cargo.lock)
    engine_pin="$pin_name $pin_version"
    engine_dir=$vendor/$pin_name/stable-diffusion.cpp
    if [ "$(cat "$vendor/.lock" 2>/dev/null)" != "$lock" ] || [ ! -f "$engine_dir/ggml/CMakeLists.txt" ]; then
        (
            # Variants may be built at the same time; they share the sources.
            exec 8>"$root/build/engine.lock"
            ! command -v flock >/dev/null || flock 8
            [ "$(cat "$vendor/.lock" 2>/dev/null)" = "$lock" ] || vendor_engine "$vendor" "$lock"
        )
    fi
    step 1 "engine sources" "$engine_pin (checksum ok)"
}

vendor_engine() { # destination, hash of the lock file
    local new=$1.new log=$root/build/vendor.log
    rm -rf "$new" "$1"
    mkdir -p "$new"
    if ! cargo vendor --locked --manifest-path third_party/engine/Cargo.toml "$new" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        die "cargo could not fetch the engine's sources; without network set DAGUERRE_ENGINE_DIR to a stable-diffusion.cpp tree"
    fi
    # Only the engine is compiled; the crates that its Rust build script would use are not.
    find "$new" -mindepth 1 -maxdepth 1 ! -name "$pin_name" -exec rm -rf {} +
    printf '%s\n' "$2" >"$new/.lock"
    mv "$new" "$1"
}

# Everything that decides what the archives contain.
engine_key() {
    local arch=()
    if [ $portable = OFF ]; then
        case $(uname -m) in
            x86_64) arch=(-march=native) ;;
            *) arch=(-mcpu=native) ;;
        esac
    fi
    {
        echo "$variant $portable $engine_flavour $(uname -m)"
        "${CC:-cc}" --version
        "${CXX:-c++}" --version
        "${CC:-cc}" "${arch[@]}" -dM -E -x c /dev/null
        cat third_party/engine/Cargo.lock third_party/engine/CMakeLists.txt third_party/engine/*.{cpp,h} cmake/flags.cmake
        case $variant in
            vulkan) glslc --version; cat "$(vulkan_headers)/vulkan/vulkan_core.h" ;;
            cuda) "${CUDACXX:-nvcc}" --version; echo "${DAGUERRE_CUDA_ARCH:-native}" ;;
        esac
    } | sha
}

# Debug builds of ours use the optimised engine: without optimisation it is useless.
locate_engine() { # sets engine_flavour, engine_build, engine_lib, engine_hash
    engine_flavour=$flavour
    [ "$flavour" != debug ] || engine_flavour=release
    engine_build=$root/build/engine-$variant
    [ "$engine_flavour" != asan ] || engine_build=$root/build/engine-asan
    [ "$portable" != ON ] || engine_build=$engine_build-portable
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
    if [ -z "${DAGUERRE_ENGINE_DIR:-}" ]; then
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
    configure third_party/engine "$dir" -DDAGUERRE_ENGINE_DIR="$engine_dir" -DDAGUERRE_VARIANT="$variant" \
        -DDAGUERRE_PORTABLE=$portable -DDAGUERRE_ASAN=$asan "${options[@]}"
    compile "      engine for $variant" "$dir"
    if [ -z "${DAGUERRE_ENGINE_DIR:-}" ]; then
        cache_put "$key" 8 "$engine_lib"/*.a
        printf '%s\n' "$key" >"$dir/.key"
    fi
}

# CMake options that the engine's project and ours need for a variant's libraries.
variant_options() {
    case $variant in
        vulkan) options=(-DVulkan_INCLUDE_DIR="$(vulkan_headers)") ;;
        cuda)
            options=(-DCMAKE_CUDA_ARCHITECTURES="${DAGUERRE_CUDA_ARCH:-native}")
            [ -z "${CUDACXX:-}" ] || options+=(-DCMAKE_CUDA_COMPILER="$CUDACXX")
            [ -z "${CUDAToolkit_ROOT:-}" ] || options+=(-DCUDAToolkit_ROOT="$CUDAToolkit_ROOT")
            ;;
    esac
}
