# shellcheck shell=bash
# bin/daguerre, without cgo.

build_binary() {
    local version
    version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/daguerre-go/daguerre/cli/internal/command.version=$version" -o bin/daguerre ./cli/daguerre ||
        die "go could not build bin/daguerre"
    step 3 bin/daguerre "$version"
}
