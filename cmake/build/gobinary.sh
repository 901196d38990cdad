# shellcheck shell=bash
# bin/daguerre, without cgo; of a target bin/<target>/daguerre, or daguerre.exe.

build_binary() {
    local version program=bin/${target:+$target/}daguerre
    version=${DAGUERRE_VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo unknown)}
    case $target in windows-*) program=$program.exe ;; esac
    if [ -n "$target" ]; then
        export GOOS=${target%-*} GOARCH=${target#*-}
    fi
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X github.com/daguerre-go/daguerre/cli/internal/command.version=$version" -o "$program" ./cli/daguerre ||
        die "go could not build $program"
    step 3 "$program" "$version"
}
