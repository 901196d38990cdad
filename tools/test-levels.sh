#!/usr/bin/env bash
# Runs the nano model's golden tests with the library of each level that this CPU has: `make test-levels`. LIBRARIES is a folder that holds
# them, as an unpacked release's lib/daguerre; the default is what `make release` compiled for this machine. LEVELS names some of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case $(uname -m) in
    x86_64) levels="avx2 avx512 bf16 amx" folder=build/linux-amd64-cpu-avx2-avx512-bf16-amx ;;
    *) levels="neon dotprod i8mm" folder=build/linux-arm64-cpu-neon-dotprod-i8mm ;;
esac
folder=$(realpath -m "${LIBRARIES:-$folder}")
compgen -G "$folder/libdaguerre-cpu-*" >/dev/null || {
    echo "test-levels: $folder holds no libraries of levels; make them with \`make release RELEASES=linux-amd64-cpu\`" >&2
    exit 1
}
out=build/test-levels
mkdir -p "$out"
rm -f "$out"/*.png
go build -o "$out/daguerre" ./cli/daguerre
export DAGUERRE_LIBRARY=$folder
ran=0
for level in ${LEVELS:-$levels}; do
    export DAGUERRE_CPU_LEVEL=$level
    if ! said=$("$out/daguerre" doctor 2>&1) && grep -q "this CPU lacks .* of the level $level" <<<"$said"; then
        echo "== $level: left out: $(grep -o "this CPU lacks .*" <<<"$said" | head -n 1)"
        continue
    fi
    grep -q "level: $level, by DAGUERRE_CPU_LEVEL" <<<"$said" || {
        printf '%s\n' "$said" >&2
        echo "test-levels: the level $level is not the one that is loaded" >&2
        exit 1
    }
    echo "== $level"
    go test -count 1 -timeout 20m -run "${TESTS:-TestGoldenRuns|TestGoldenText|TestGoldenNano|TestGoldenControlNet|TestGoldenTAESD}" ./runtime/pipeline
    "$out/daguerre" generate --quiet --fresh --model nano --precision exact --steps 8 --seed 42 --prompt 'a red circle on a blue background' \
        -o "$out/$level.png"
    [ $ran = 0 ] || go run ./tools/recorder -psnr 50 "$out/$first.png" "$out/$level.png"
    [ $ran != 0 ] || first=$level
    ran=$((ran + 1))
done
[ $ran != 0 ] || { echo "test-levels: this CPU runs none of the levels" >&2; exit 1; }
echo "test-levels: $ran levels agree with the goldens, and their pictures with each other (exact precision, 50 dB)"
