# shellcheck shell=bash
# What the steps of build.sh share: messages, the cache of finished builds, progress of Ninja.

die() { # message [exit code]
    printf 'build.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

note() { printf '      %s\n' "$1"; }

step() { # number, what, details
    printf '[%s/%s] %-16s %s\n' "$1" "$steps" "$2" "$3"
}

sha() { sha256sum | cut -c1-32; }

# ---- cache: folders named by a hash of everything that went into them --------------------------

cache_root() { printf '%s\n' "${DAGUERRE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/daguerre}/build"; }

cache_has() { # key
    [ "${DAGUERRE_BUILD_CACHE:-on}" != off ] && [ -f "$(cache_root)/$1/.complete" ]
}

cache_get() { # key, destination folder: copies the files, or fails
    cache_has "$1" || return 1
    local entry
    entry=$(cache_root)/$1
    mkdir -p "$2"
    cp -p "$entry"/[!.]* "$2/" || return 1
    touch "$entry"
}

cache_put() { # key, number of entries of this kind to keep, files...
    [ "${DAGUERRE_BUILD_CACHE:-on}" != off ] || return 0
    local key=$1 keep=$2 entry temporary
    shift 2
    entry=$(cache_root)/$key
    [ -f "$entry/.complete" ] && return 0
    # A full disk or a read-only home must not fail the build: the cache is a convenience.
    {
        mkdir -p "$(cache_root)" &&
            temporary=$(mktemp -d "$(cache_root)/.new-XXXXXX") &&
            cp -p "$@" "$temporary/" && touch "$temporary/.complete" &&
            { [ ! -d "$entry" ] || rm -rf "$entry"; } && mv "$temporary" "$entry"
    } 2>/dev/null || {
        note "could not store the build in $(cache_root)"
        rm -rf "${temporary:-}"
        return 0
    }
    cache_prune "${key%-*}" "$keep"
}

cache_prune() { # kind, number to keep: drops the least recently used
    local old
    # Keys are kind-hash without spaces, so plain lines are safe here.
    # shellcheck disable=SC2012
    ls -1dt "$(cache_root)/$1"-* 2>/dev/null | tail -n +"$(($2 + 1))" | while read -r old; do
        rm -rf "$old"
    done
    find "$(cache_root)" -maxdepth 1 -name '.new-*' -mmin +600 -exec rm -rf {} + 2>/dev/null || true
}

# ---- CMake and Ninja ---------------------------------------------------------------------------

configure() { # source, build folder, arguments...
    local source=$1 dir=$2
    shift 2
    mkdir -p "$dir"
    local arguments
    arguments=$(printf '%s\n' "$source" "$@" "CC=${CC:-}" "CXX=${CXX:-}")
    if [ -f "$dir/build.ninja" ] && [ "$(cat "$dir/.configured" 2>/dev/null)" = "$arguments" ]; then
        return 0
    fi
    rm -f "$dir/CMakeCache.txt"
    if ! cmake -G Ninja -S "$source" -B "$dir" "$@" >"$dir/configure.log" 2>&1; then
        cat "$dir/configure.log" >&2
        die "CMake could not configure $dir; its output is above"
    fi
    printf '%s' "$arguments" >"$dir/.configured"
}

compile() { # label printed before the bar, build folder, targets...
    local label=$1 dir=$2 status=0
    shift 2
    # Colons keep the status apart from the paths that Ninja prints after it.
    NINJA_STATUS='%f/%t: ' ninja -C "$dir" -j "$jobs" "$@" 2>&1 | tee "$dir/build.log" |
        progress "$label" || status=$?
    if [ "$status" != 0 ]; then
        awk '/^FAILED:/ {on = 1} on' "$dir/build.log" | head -n 200 >&2
        die "compiling failed; the whole log is ${dir#"$root"/}/build.log"
    fi
}

# Draws a bar on a terminal; elsewhere prints a line at each quarter of a long build.
progress() { # label; Ninja's output on stdin
    local line finished total quarter=0 drawn=0
    while IFS= read -r line; do
        [[ $line =~ ^([0-9]+)/([0-9]+):\  ]] || continue
        finished=${BASH_REMATCH[1]} total=${BASH_REMATCH[2]}
        if [ -t 1 ]; then
            printf '\r%s %s %d/%d ' "$1" "$(bar "$finished" "$total")" "$finished" "$total"
            drawn=1
        elif [ "$total" -ge 20 ] && [ $((4 * finished / total)) -gt $quarter ]; then
            quarter=$((4 * finished / total))
            printf '%s %d/%d\n' "$1" "$finished" "$total"
        fi
    done
    [ $drawn = 0 ] || printf '\r\033[K'
}

bar() { # done, total
    local i text=""
    for ((i = 0; i < 12; i++)); do
        if ((i * $2 < 12 * $1)); then text+=█; else text+=░; fi
    done
    printf '%s' "$text"
}
