#!/usr/bin/env bash
# Runs a Windows program under Wine, in the prefix that tools/wine/setup.sh makes: go test -exec tools/wine/exec.sh.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export WINEPREFIX=$root/build/.wine/prefix WINEDEBUG=${WINEDEBUG:--all} WINEDLLOVERRIDES="mscoree,mshtml="
wine=$(command -v wine64 || echo /usr/lib/wine/wine64)
exec "$wine" "$@"
