#!/usr/bin/env bash
# The program for Windows under Wine as if it were a program of this machine, for tests that start one by its path.
set -euo pipefail
windows_path() { printf 'Z:%s' "${1//\//\\}"; }
DAGUERRE_LIBRARY=$(windows_path "$DAGUERRE_TEST_WINDOWS_LIBRARY")
DAGUERRE_CACHE=$(windows_path "$DAGUERRE_CACHE")-windows
export DAGUERRE_LIBRARY DAGUERRE_CACHE
exec "$(dirname "${BASH_SOURCE[0]}")/exec.sh" "$DAGUERRE_TEST_WINDOWS_PROGRAM" "$@"
