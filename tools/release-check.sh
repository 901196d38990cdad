#!/usr/bin/env bash
# Builds a release twice, in two new clones at different places and without any finished part, and compares the sums: `make release-check`.
# RELEASES and LEVELS are as in tools/release.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
zig=build/tools/zig-$(cat cmake/toolchains/zig-version)
[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "release-check: changes that are not committed are left out"

for place in one a-longer/path/to-two; do
    clone=$work/$place/daguerre
    mkdir -p "$(dirname "$clone")"
    git clone -q --no-hardlinks . "$clone"
    # What is downloaded, and checked by sums, need not come twice; what is built does.
    mkdir -p "$clone/build"
    [ ! -d build/engine ] || cp -a build/engine "$clone/build/"
    [ ! -d "$zig" ] || [ -n "${ZIG_AGAIN:-}" ] || { mkdir -p "$clone/build/tools" && cp -a "$zig" "$clone/build/tools/"; }
    rm -rf "$clone/$zig/cache"
    (
        cd "$clone"
        export DAGUERRE_BUILD_CACHE=off GOCACHE=$work/go-$(basename "$place")
        tools/release.sh
    )
done
(cd "$work/one/daguerre/build/release" && cat SHA256SUMS)
if ! diff "$work/one/daguerre/build/release/SHA256SUMS" "$work/a-longer/path/to-two/daguerre/build/release/SHA256SUMS"; then
    echo "release-check: two builds of one commit differ" >&2
    [ -z "${KEEP:-}" ] || { trap - EXIT; echo "they are in $work"; }
    exit 1
fi
echo "release-check: two builds of $(git rev-parse --short=12 HEAD) are equal"
