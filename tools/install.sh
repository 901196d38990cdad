#!/usr/bin/env bash
# Installs what is built, or removes what was installed: `make install` and `make uninstall` call it. PREFIX is where programs look for it,
# DESTDIR a folder that stands for the root of the system, for packages. PROGRAM and BUILD are what is installed. For releases, LIBRARIES
# names the libraries, a line each; HOST_PROGRAM is the same program for this machine; EXTRA is a folder of more files, as below PREFIX.
#
#     tools/install.sh install|uninstall
set -euo pipefail
umask 022
export LC_ALL=C # the order of names

prefix=${PREFIX:-/usr/local}
program=${PROGRAM:-bin/daguerre}
host_program=${HOST_PROGRAM:-$program}
build=${BUILD:-build}
engine=build/engine
licences=("$engine/llama-cpp-sys-2/llama.cpp/LICENSE" "$engine/diffusion-rs-sys/stable-diffusion.cpp/LICENSE")
list=share/daguerre/installed # every file below PREFIX that was installed, a line each

die() {
    echo "install: $*" >&2
    exit 1
}

[[ $prefix = /* ]] || die "PREFIX is $prefix; it must begin with /"
root=${DESTDIR:-}${prefix%/}

put() { # mode, file, place below PREFIX
    # A program that runs keeps the file that it opened: install puts another in its place.
    install -D -m "$1" "$2" "$root/$3"
    printf '%s\n' "$3" >>"$new"
}

remove() { # removes what the list names that is not in file $1, and the list's folders that are empty then
    [ -f "$root/$list" ] || return 0
    local path dir
    while IFS= read -r path; do
        # The list is ours; whatever else stands there leads nowhere.
        [[ -n $path && $path != /* && /$path/ != */../* ]] || continue
        grep -qxF -- "$path" "$1" || rm -f -- "$root/$path"
    done <"$root/$list"
    for dir in lib/daguerre share/licenses/daguerre share/daguerre; do
        [ ! -d "$root/$dir" ] || rmdir --ignore-fail-on-non-empty "$root/$dir"
    done
}

install_all() {
    [ -x "$program" ] || die "there is no $program; build it with \`make\` first"
    local libraries=("$build"/{cpu,vulkan,cuda}/libdaguerre-*.so) library file found=no
    [ -z "${LIBRARIES:-}" ] || mapfile -t libraries <<<"$LIBRARIES"
    for library in "${libraries[@]}"; do [ ! -f "$library" ] || found=yes; done
    [ $found = yes ] || die "there is no libdaguerre in $build; build it with \`make\` first"
    for file in "${licences[@]}"; do [ -f "$file" ] || die "there is no $file, a licence of the engine's; build it with \`make\` first"; done

    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    new=$work/installed
    : >"$new"
    "$host_program" man -o "$work/man"
    for shell in bash zsh fish powershell; do "$host_program" completion $shell >"$work/$shell"; done

    case $program in
        *.exe) put 755 "$program" bin/daguerre.exe ;;
        *) put 755 "$program" bin/daguerre ;;
    esac
    for library in "${libraries[@]}"; do
        [ ! -f "$library" ] || put 644 "$library" "lib/daguerre/${library##*/}"
    done
    put 644 LICENSE share/licenses/daguerre/LICENSE
    put 644 NOTICE share/licenses/daguerre/NOTICE
    put 644 "${licences[0]}" share/licenses/daguerre/ggml.LICENSE
    put 644 "${licences[1]}" share/licenses/daguerre/stable-diffusion.cpp.LICENSE
    for page in "$work"/man/*.1; do put 644 "$page" "share/man/man1/${page##*/}"; done
    put 644 "$work/bash" share/bash-completion/completions/daguerre
    put 644 "$work/zsh" share/zsh/site-functions/_daguerre
    put 644 "$work/fish" share/fish/vendor_completions.d/daguerre.fish
    put 644 "$work/powershell" share/daguerre/daguerre.ps1
    if [ -n "${EXTRA:-}" ]; then
        while IFS= read -r -d '' file; do put 644 "$EXTRA/$file" "$file"; done < <(cd "$EXTRA" && find . -type f -printf '%P\0' | LC_ALL=C sort -z)
    fi
    printf '%s\n' "$list" >>"$new"
    remove "$new" # what an older version had besides
    install -D -m 644 "$new" "$root/$list"
    echo "installed below $root: bin/daguerre, $(ls "$root/lib/daguerre" | tr '\n' ' ')and $(wc -l <"$new") files in all"
}

case ${1:-} in
    install) install_all ;;
    uninstall)
        [ -f "$root/$list" ] || die "nothing was installed below $root (there is no $root/$list)"
        remove /dev/null
        echo "removed what was installed below $root"
        ;;
    *) die "usage: tools/install.sh install|uninstall" ;;
esac
