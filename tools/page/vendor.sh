#!/usr/bin/env bash
# Copies the libraries of the page out of their npm packages, or with --check compares what is here with them. The versions and their
# sums are in package-lock.json.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
here=../../cli/internal/webpage/files/vendor
work=../../build/tools/page-vendor
mkdir -p "$work"
cp package.json package-lock.json .npmrc "$work"
npm --prefix "$work" ci --silent

fresh=$work/vendor
rm -rf "$fresh"
mkdir -p "$fresh/lit-html/directives"
from=$work/node_modules/lit-html
cp "$from"/{lit-html,directive,directive-helpers}.js "$fresh/lit-html"
cp "$from"/directives/{repeat,live}.js "$fresh/lit-html/directives"
cp "$from/LICENSE" "$fresh/lit-html/LICENSE.txt"

if [ "${1:-}" = --check ]; then
    diff -r "$fresh" "$here" || { echo "the page's libraries differ from their packages: run make vendor-page" >&2; exit 1; }
    echo "the page's libraries are those of package-lock.json"
else
    rm -rf "$here"
    cp -r "$fresh" "$here"
fi
