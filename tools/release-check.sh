#!/usr/bin/env bash
# Builds a release twice, in two new clones at different places and without any finished part, and compares the sums: `make release-check`.
# RELEASES and LEVELS are as in tools/release.sh. AGAINST, a folder with SHA256SUMS of the same commit that was built somewhere else, takes
# the place of the first build: AGAINST=build/release tools/release-check.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
zig=build/tools/zig-$(cat cmake/toolchains/zig-version)
headers=build/tools/vulkan-headers
commit=$(git rev-parse HEAD)
[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "release-check: changes that are not committed are left out"

build() { # place; its sums go to $work/sums-$place
    local clone=$work/$1/daguerre
    mkdir -p "$(dirname "$clone")"
    git clone -q --no-hardlinks . "$clone"
    git -C "$clone" checkout -q --detach "$commit" # what is committed meanwhile does not count
    # What is downloaded, and checked by sums, need not come twice; what is built does.
    mkdir -p "$clone/build/tools"
    [ ! -d build/engine ] || cp -a build/engine "$clone/build/"
    [ ! -d $headers ] || cp -a $headers "$clone/build/tools/"
    [ ! -d "$zig" ] || [ -n "${ZIG_AGAIN:-}" ] || cp -a "$zig" "$clone/build/tools/"
    rm -rf "${clone:?}/$zig/cache"
    (
        cd "$clone"
        export DAGUERRE_BUILD_CACHE=off GOCACHE=$work/go-${1##*/}
        unset RELEASE
        tools/release.sh
    )
    cp "$clone/build/release/SHA256SUMS" "$work/sums-${1##*/}"
}

if [ -n "${AGAINST:-}" ]; then
    [ -f "$AGAINST/SHA256SUMS" ] || { echo "release-check: there is no $AGAINST/SHA256SUMS" >&2; exit 2; }
    cp "$AGAINST/SHA256SUMS" "$work/against"
else
    build one
    cp "$work/sums-one" "$work/against"
fi
build a-longer/path/to-two
cat "$work/sums-to-two"
# AGAINST may have more archives than were built now.
if ! diff <(awk 'NR == FNR {want[$2]; next} $2 in want' "$work/sums-to-two" "$work/against") "$work/sums-to-two"; then
    echo "release-check: two builds of one commit differ" >&2
    [ -z "${KEEP:-}" ] || { trap - EXIT; echo "they are in $work"; }
    exit 1
fi
echo "release-check: two builds of ${commit:0:12} are equal"
