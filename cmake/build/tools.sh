# shellcheck shell=bash
# Checks that the tools are there, all of them before stopping, and says how to get each.

missing=()

need() { # what was found wrong, how to get it
    missing+=("$(printf '  %-44s %s' "$1" "$2")")
}

at_least() { # found, wanted
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

version_of() { # command...: the first dotted number it prints
    "$@" 2>/dev/null | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1
}

check_tool() { # command, wanted version, arguments that print it, how to get it
    local name=$1 wanted=$2 argument=$3 how=$4 found
    if ! command -v "$name" >/dev/null; then
        need "$name >= $wanted is missing" "$how"
        return
    fi
    found=$(version_of "$name" "$argument") || true
    if [ -z "$found" ] || ! at_least "$found" "$wanted"; then
        need "$name is ${found:-of unknown version}, wanted >= $wanted" "$how"
    fi
}

check_compilers() {
    local cc=${CC:-cc} cxx=${CXX:-c++}
    if ! command -v "$cc" >/dev/null || ! command -v "$cxx" >/dev/null; then
        need "a C++17 compiler ($cc, $cxx) is missing" "apt install g++ (GCC >= 9) or clang (>= 10), or set CC and CXX"
    elif ! echo '#include <optional>
#include <string_view>
static_assert(__cplusplus >= 201703L); int main() { return std::optional<int>(0).value(); }' |
        "$cxx" -std=c++17 -x c++ -fsyntax-only - 2>/dev/null; then
        need "$cxx does not compile C++17" "apt install g++ (GCC >= 9) or clang (>= 10), or set CC and CXX"
    fi
}

check_vulkan() {
    check_tool glslc 0.0 --version "apt install glslc, or the Vulkan SDK (package shaderc elsewhere)"
    if [ -z "$target" ] && ! ldconfig -p 2>/dev/null | grep 'libvulkan\.so ' >/dev/null && [ -z "${VULKAN_SDK:-}" ]; then
        need "libvulkan.so to link against is missing" "apt install libvulkan-dev, or the Vulkan SDK and VULKAN_SDK set"
    fi
    # Where they are missing, ggml-vulkan.cpp fails, and only after all shaders are compiled.
    if ! printf '#if __has_include(<spirv/unified1/spirv.hpp>)\n#elif __has_include(<spirv-headers/spirv.hpp>)\n#elif __has_include(<spirv.hpp>)\n#else\n#error\n#endif\n' |
        "${CXX:-c++}" -I"${VULKAN_SDK:-/nonexistent}/include" -x c++ -fsyntax-only - 2>/dev/null; then
        need "SPIR-V headers are missing" "apt install spirv-headers, or the Vulkan SDK and VULKAN_SDK set"
    fi
    local dir
    dir=$(vulkan_headers)
    if [ -z "$dir" ]; then
        need "Vulkan headers are missing" "apt install libvulkan-dev, or ./build.sh vulkan --fetch-vulkan-headers"
    elif ! vulkan_headers_usable "$dir"; then
        need "Vulkan headers in $dir are $(vulkan_header_version "$dir")" \
            "wanted >= 1.3.272 (vk::LayerSettingEXT). Debian 12 has 1.3.239: ./build.sh vulkan --fetch-vulkan-headers takes Debian 13's, or set DAGUERRE_VULKAN_HEADERS"
    fi
}

# The folder that holds vulkan/vulkan.hpp: the one asked for, the fetched one, the system's.
vulkan_headers() {
    local dir
    if [ -n "${DAGUERRE_VULKAN_HEADERS:-}" ]; then
        printf '%s\n' "$DAGUERRE_VULKAN_HEADERS"
        return
    fi
    for dir in "$root/build/tools/vulkan-headers/usr/include" "${VULKAN_SDK:-/nonexistent}/include" \
        /usr/local/include /usr/include; do
        if [ -f "$dir/vulkan/vulkan.hpp" ]; then
            printf '%s\n' "$dir"
            return
        fi
    done
}

vulkan_headers_usable() { grep -qs 'struct LayerSettingEXT' "$1/vulkan/vulkan_structs.hpp"; }

vulkan_header_version() {
    local patch minor
    patch=$(sed -n 's/^#define VK_HEADER_VERSION \([0-9]*\).*/\1/p' "$1/vulkan/vulkan_core.h" 2>/dev/null)
    minor=$(sed -n 's/^#define VK_HEADER_VERSION_COMPLETE VK_MAKE_API_VERSION(0, \([0-9]*\), \([0-9]*\),.*/\1.\2/p' \
        "$1/vulkan/vulkan_core.h" 2>/dev/null)
    printf '%s\n' "${minor:-unknown}${patch:+.$patch}"
}

check_cuda() {
    local wanted=11.8 # for an architecture of its own; 120 (RTX 50) is in the default of --portable
    case $(cuda_architectures) in *120*) wanted=12.8 ;; esac
    if ! command -v "${CUDACXX:-nvcc}" >/dev/null; then
        need "nvcc is missing" 'the CUDA toolkit >= '$wanted', and CUDACXX or PATH set; without root: eval "$(tools/cuda-toolchain.sh)"'
    elif ! at_least "$(version_of "${CUDACXX:-nvcc}" --version)" $wanted; then
        need "nvcc is $(version_of "${CUDACXX:-nvcc}" --version)" "wanted >= $wanted"
    fi
    if [ "$(cuda_architectures)" = native ] && ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
        need "no NVIDIA GPU is here to take the architecture of" \
            "--portable, or DAGUERRE_CUDA_ARCH=80 (A100), 86 (RTX 30), 89 (RTX 40), 90 (H100), 120 (RTX 50), or several: \"86;89\""
    fi
}

check_tools() { # variant
    check_tool go 1.26 version "https://go.dev/dl (any go >= 1.21 fetches the right one by itself)"
    check_compilers
    check_tool cmake 3.20 --version "apt install cmake, or pip install cmake"
    check_tool ninja 1.10 --version "apt install ninja-build, or pip install ninja"
    if [ -z "$engine_from" ] && ! engine_is_here &&
        { [ -z "${DAGUERRE_ENGINE_DIR:-}" ] || [ -z "${DAGUERRE_SDCPP_DIR:-}$(sdcpp_in "${DAGUERRE_ENGINE_DIR:-}")" ]; }; then
        check_tool cargo 1.85 --version "https://rustup.rs, or ./build.sh --engine-from FILE (third_party/engine/README.md)"
    fi
    case $1 in
        vulkan) check_vulkan ;;
        cuda) check_cuda ;;
    esac
    if [ ${#missing[@]} != 0 ]; then
        printf 'build.sh: %s for the %s variant:\n' "tools are missing" "$1" >&2
        printf '%s\n' "${missing[@]}" >&2
        exit 1
    fi
}

# Fetches the newest stable Debian's libvulkan-dev with the machine's own mirror and keys, and
# unpacks its headers into build/tools: nothing is installed.
fetch_vulkan_headers() {
    local dir=$root/build/tools/vulkan-headers
    if vulkan_headers_usable "$dir/usr/include"; then
        return
    fi
    debian_packages trixie "$dir" libvulkan-dev ||
        die "--fetch-vulkan-headers did not get Debian 13's headers; elsewhere set DAGUERRE_VULKAN_HEADERS to newer headers"
    vulkan_headers_usable "$dir/usr/include" || die "the headers in $dir lack vk::LayerSettingEXT"
}
