package command

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -ldflags "-X github.com/daguerre-go/daguerre/cli/internal/command.version=v1.2.3".
var version string

// Version returns daguerre's version: the linker's, the module's, or "devel".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// printVersion prints daguerre's, the engine's and Go's versions.
func printVersion(_ context.Context, env Env) error {
	lib := env.Native.Library()
	engine := "unknown: libdaguerre cannot be loaded (see daguerre doctor)"
	if lib.Loaded {
		engine = fmt.Sprintf("%s (libdaguerre-%s %s)", lib.Engine, lib.Variant, lib.Version)
	}
	var p page
	p.line("daguerre %s\nengine   %s\ngo       %s %s/%s", Version(), engine, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return p.print(env)
}

// printTo prints a command's result; what cannot be delivered is a failure.
func printTo(w io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(w, format, args...); err != nil {
		return &outputError{err}
	}
	return nil
}
