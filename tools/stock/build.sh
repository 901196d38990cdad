#!/usr/bin/env bash
# Builds the stock engine and its driver into build/stock/stock; `tools/stock/build.sh --help` says how.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
. cmake/build/lib.sh
. cmake/build/tools.sh
. cmake/build/engine.sh

case ${1:-} in
    "") ;;
    -h | --help)
        cat <<'TEXT'
usage: tools/stock/build.sh

Builds build/stock/stock: stable-diffusion.cpp from the sources that third_party/engine pins, with its own ggml and its own
default options, and the driver of this folder. Takes about ten minutes on two free cores.

environment:
  DAGUERRE_SDCPP_DIR    a stable-diffusion.cpp tree, with ggml in it, to build instead of the pinned one
  DAGUERRE_JOBS         parallel compile jobs; default: all processors. One job needs up to 2 GB
  CC, CXX               compilers
TEXT
        exit 0
        ;;
    *) die "unknown argument '$1'; tools/stock/build.sh takes none" 2 ;;
esac

steps=2
jobs=${DAGUERRE_JOBS:-$(nproc)}
check_tools cpu
mkdir -p build
prepare_engine_sources
pin="$sdcpp_pin $(pinned_version "$sdcpp_pin")"
[ -z "${DAGUERRE_SDCPP_DIR:-}" ] || pin="local tree"
configure tools/stock build/stock -DDAGUERRE_SDCPP_DIR="$sdcpp_dir" -DDAGUERRE_ENGINE_PIN="$pin"
compile "      stock engine" build/stock stock
step 2 "stock engine" "build/stock/stock ($(sed -n 's/^stock options: //p' build/stock/configure.log | tail -n 1))"
