# Packages of another Debian release, unpacked into a folder and not installed. Needs apt and dpkg, and a Debian mirror among apt's
# sources.

# debian_packages SUITE FOLDER PACKAGE...: replaces FOLDER. apt's own lists and state stay as they are.
debian_packages() {
    local suite=$1 dir=$2 state mirror deb
    shift 2
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        printf 'apt and dpkg are needed to get %s\n' "$*" >&2
        return 1
    fi
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | grep -E '/debian/?$' | head -n 1)
    if [ -z "$mirror" ]; then
        printf 'there is no Debian mirror among the sources of apt\n' >&2
        return 1
    fi
    state=$dir.apt
    rm -rf "$state" "$dir"
    mkdir -p "$state/lists/partial" "$state/archives/partial" "$dir"
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite" >"$state/sources.list"
    : >"$state/status"
    local options=(-qq -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State="$state" -o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status"
        -o Dir::Cache="$state" -o Dir::Cache::Archives="$state/archives" -o APT::Sandbox::User=root)
    printf '      fetching %s of Debian %s from %s\n' "$*" "$suite" "$mirror"
    apt-get "${options[@]}" update || return 1
    (cd "$state" && apt-get "${options[@]}" download "$@") || return 1
    for deb in "$state"/*.deb; do dpkg-deb -x "$deb" "$dir" || return 1; done
    rm -rf "$state"
}
