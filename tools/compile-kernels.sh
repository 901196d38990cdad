#!/usr/bin/env bash
# Compiles native/src/kernels for every instruction set that its code distinguishes, with warnings as errors, both
# optimised and as the sanitizers' build does. A machine runs the code of its own CPU only; this finds
# what another one's compiler would refuse. Needs the engine's sources (any build fetches them).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ggml=build/engine/llama-cpp-sys-2/llama.cpp/ggml
[ -d $ggml/include ] || {
    echo "compile-kernels: no engine sources in build/engine; run make first" >&2
    exit 1
}
[ "$(uname -m)" = x86_64 ] || {
    echo "compile-kernels: these levels are x86-64's" >&2
    exit 1
}
levels=(x86-64 x86-64-v3 x86-64-v4 cooperlake sapphirerapids)
compiler=(${CXX:-c++})
! command -v ccache >/dev/null || compiler=(ccache "${compiler[@]}")

object=$(mktemp -d)
trap 'rm -rf "$object"' EXIT
compile() { # level, optimisation, source
    # shellcheck disable=SC2086 # options, to be split
    "${compiler[@]}" -DGGML_MAX_NAME=128 -DGGML_USE_CPU -Inative/include -Inative/src -isystem $ggml/include \
        -isystem $ggml/src -std=gnu++17 -fPIC -Wall -Wextra -Werror -march="$1" $2 \
        -c "$3" -o "$object/$1-$(basename "$3").$BASHPID.o" || {
        echo "compile-kernels: $3 does not compile for -march=$1 ($2)" >&2
        return 1
    }
}

failed=0 running=0 count=0
for source in native/src/kernels/*.cpp; do
    for level in "${levels[@]}"; do
        for options in "-O3 -DNDEBUG" "-O1 -fsanitize=address,undefined"; do
            compile "$level" "$options" "$source" &
            count=$((count + 1))
            if [ $((running += 1)) -ge "${DAGUERRE_JOBS:-$(nproc)}" ]; then
                wait -n || failed=1
                running=$((running - 1))
            fi
        done
    done
done
while [ $running -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
[ $failed = 0 ] || exit 1
echo "kernels: $count objects for ${levels[*]} compiled without a warning"
