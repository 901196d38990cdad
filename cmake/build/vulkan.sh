# shellcheck shell=bash
# Shaders that all targets share, and Vulkan for another system: headers, and something to link against. The loader itself is the user's.

# The functions of Vulkan itself, which every loader exports. Those of extensions end in capitals, and are asked for when they are needed.
vulkan_functions() {
    sed -n 's/.*VKAPI_CALL \(vk[A-Za-z0-9]*\)(.*/\1/p' "$(vulkan_headers)/vulkan/vulkan_core.h" | grep -v '[A-Z][A-Z]$' | LC_ALL=C sort -u
}

# Sets CMake's options for the target. Headers get a folder of their own: beside /usr/include's the compiler would take this machine's libc.
cross_vulkan() {
    local dir=$root/build/tools/vulkan-$target zig name from library functions
    functions=$(vulkan_functions)
    [ -n "$functions" ] || die "$(vulkan_headers)/vulkan/vulkan_core.h declares no functions"
    zig=$root/build/tools/zig-$(cat cmake/toolchains/zig-version)/bin/zig
    mkdir -p "$dir/include"
    for name in vulkan vk_video spirv spirv-headers; do
        for from in "$(vulkan_headers)" "${VULKAN_SDK:-/nonexistent}/include" /usr/local/include /usr/include; do
            [ -d "$from/$name" ] && ln -sfn "$from/$name" "$dir/include/$name" && break
        done
    done
    case $target in
        windows-*)
            library=$dir/libvulkan-1.a
            printf 'LIBRARY vulkan-1.dll\nEXPORTS\n%s\n' "$functions" >"$dir/vulkan-1.def"
            "$zig" dlltool -m i386:x86-64 -d "$dir/vulkan-1.def" -l "$library" || die "zig's dlltool could not make $library"
            ;;
        linux-*)
            library=$dir/libvulkan.so
            for name in $functions; do printf 'void %s(void) {}\n' "$name"; done >"$dir/stub.c"
            "$zig" cc -target "$(sed -n 's/^set(DAGUERRE_ZIG_TARGET \(.*\))/\1/p' "cmake/toolchains/$target.cmake")" \
                -shared -fPIC -Wl,-soname,libvulkan.so.1 -o "$library" "$dir/stub.c" || die "zig could not make $library"
            ;;
        *) die "the vulkan variant is not built for $target" 2 ;;
    esac
    options=(-DVulkan_INCLUDE_DIR="$dir/include" -DVulkan_LIBRARY="$library")
}

# Compiles each shader of the pinned sources once, whatever the target. Sources of one's own may change, so that they are compiled as ever.
share_shaders() {
    engine_is_pinned || return 0
    local once=$root/cmake/build/glslc-once
    DAGUERRE_SHADERS=$root/build/shaders/$({ glslc --version; cat third_party/engine/Cargo.lock; } | sha)
    export DAGUERRE_SHADERS
    mkdir -p "$DAGUERRE_SHADERS"
    options+=(-DVulkan_GLSLC_EXECUTABLE="$once" -DDAGUERRE_GLSLC="$once") # the second one where some shaders are left out
}
