# shellcheck shell=bash
# libdaguerre-<variant>.so from native/ and the engine's archives.

# The libraries' file names on the target's system: one, or one for each level.
library_names() {
    local level
    if [ $named_level = OFF ]; then
        library_file "daguerre-$variant"
    else
        for level in ${levels//,/ }; do library_file "daguerre-$variant-$level"; done
    fi
}

library_file() { # name
    case ${target:-$(uname -s)} in
        windows-*) printf '%s\n' "$1.dll" ;;
        darwin-* | Darwin) printf '%s\n' "lib$1.dylib" ;;
        *) printf '%s\n' "lib$1.so" ;;
    esac
}

library_key() {
    {
        echo "$engine_hash $flavour $tests $named_level"
        cat CMakeLists.txt cmake/*.cmake cmake/exports.*
        find native -type f ! -path '*/tests/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha
}

cpu_words() { # of the compiled-in feature names: what a person wants to know
    local features=" $1 " words=""
    case $features in
        *" avx512 "*) words="AVX-512" ;;
        *" avx2 "*) words="AVX2" ;;
        *" neon "*) words="NEON" ;;
    esac
    case $features in *" avx512_vnni "*) words+=" VNNI" ;; esac
    case $features in *" avx512_bf16 "*) words+=" BF16" ;; esac
    case $features in *" amx_tile "*) words+=" AMX" ;; esac
    printf '%s\n' "${words:-baseline}"
}

build_library() {
    local libraries key type=Release options=() asan=OFF
    mapfile -t libraries < <(library_names)
    libraries=("${libraries[@]/#/$build_dir/}")
    key=library-$(library_key)
    # Tests are no part of a finished library; Ninja decides about them.
    if engine_is_pinned && [ "$tests" = OFF ]; then
        if ls "${libraries[@]}" >/dev/null 2>&1 && [ "$(cat "$build_dir/.key" 2>/dev/null)" = "$key" ]; then
            library_step "up to date"
            return
        fi
        rm -f "$build_dir/.key"
        if cache_get "$key" "$build_dir"; then
            printf '%s\n' "$key" >"$build_dir/.key"
            library_step "from $(cache_root)"
            return
        fi
    fi
    [ $flavour = debug ] && type=Debug
    [ $flavour = asan ] && asan=ON
    variant_options
    configure . "$build_dir" -DCMAKE_BUILD_TYPE=$type -DDAGUERRE_VARIANT="$variant" -DDAGUERRE_GGML_DIR="$ggml_dir" \
        -DDAGUERRE_ENGINE_LIB_DIR="$engine_lib" -DDAGUERRE_ENGINE_PIN="$engine_pin" -DDAGUERRE_LEVELS="${levels//,/;}" \
        -DDAGUERRE_LEVEL_IN_NAME=$named_level "${toolchain[@]}" -DDAGUERRE_ASAN=$asan -DDAGUERRE_BUILD_TESTS="$tests" "${options[@]}"
    compile "      libdaguerre-$variant" "$build_dir"
    # A file edited while it compiled would store the new code under the old hash.
    if engine_is_pinned && [ "$tests" = OFF ] && [ "$key" = "library-$(library_key)" ]; then
        cache_put "$key" 24 "${libraries[@]}" "$build_dir/features.txt"
        printf '%s\n' "$key" >"$build_dir/.key"
    fi
    library_step ""
}

library_step() { # remark
    local details name threads
    threads="$(nproc) threads"
    [ "$(nproc)" = 1 ] && threads="1 thread"
    details="$(cpu_words "$(cat "$build_dir/features.txt" 2>/dev/null)"), ${target:-$threads}"
    [ $named_level = OFF ] || details="${levels//,/, }, ${target:-$threads}"
    [ $flavour = asan ] && details="$details, sanitizers"
    name=$(library_file "daguerre-$variant")
    step 2 "${name%.*}" "$details${1:+  ($1)}"
}
