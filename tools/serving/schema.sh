#!/bin/sh
# Tries the server's API by its own OpenAPI document with schemathesis: at least 2,000 cases, no answer of 5xx, none that the document does not
# know. Needs Python 3.10 or newer, and PyPI at the first time. The arguments go to schemathesis.
set -eu
cd "$(dirname "$0")/../.."
venv=build/tools/schemathesis
if [ ! -x "$venv/bin/schemathesis" ]; then
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet -r tools/serving/requirements.txt
fi
dir=$(mktemp -d)
bin/daguerre serve --addr 127.0.0.1:0 --data "$dir/data" --json >"$dir/out" 2>"$dir/log" &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true; rm -rf "$dir"' EXIT
while ! grep -q '"ready"' "$dir/out"; do
	kill -0 $server 2>/dev/null || { cat "$dir/log"; exit 1; }
	sleep 0.2
done
url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$dir/out")
"$venv/bin/schemathesis" run "$url/v1/openapi.json" --max-examples 80 --seed 1 --request-timeout 60 --suppress-health-check all \
	--checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance "$@" | tee "$dir/report"
cases=$(sed -n 's/^ *\([0-9][0-9]*\) generated.*/\1/p' "$dir/report")
if [ "${cases:-0}" -lt 2000 ]; then
	echo "only ${cases:-0} cases were tried; it should be 2000" >&2
	exit 1
fi
grep -q '"level":"ERROR"' "$dir/log" && { grep '"level":"ERROR"' "$dir/log"; exit 1; }
exit 0
