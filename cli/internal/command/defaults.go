package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// defaultsFile is the file of a user's own defaults; "": the system tells no folder for it.
func (env Env) defaultsFile() string {
	if env.ConfigDir == nil {
		return ""
	}
	dir, err := env.ConfigDir()
	if err != nil { // as without $HOME
		return ""
	}
	return filepath.Join(dir, name, "config.toml")
}

// mendDefaults is what helps where that file cannot be used.
const mendDefaults = "mend the file, or run with --no-config"

// ownDefaults reads the user's own defaults. path is their file, "" where there is none or --no-config is given.
func ownDefaults(c *cli.Context, env Env) (d request.Defaults, path string, err error) {
	d.Job = request.Default()
	path = env.defaultsFile()
	if path == "" || c.Bool("no-config") {
		return d, "", nil
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return d, "", nil
	}
	own, err := request.ReadDefaults(path)
	var errs request.Errors
	switch {
	case errors.As(err, &errs):
		return d, path, &mistakes{config: path, own: true, errs: errs}
	case err != nil:
		return d, path, &inputError{fmt.Errorf("your own defaults: %s; %s", strings.TrimPrefix(err.Error(), "run file: "), mendDefaults)}
	}
	return own, path, nil
}

// checkDefaults looks at the file of the user's own defaults.
func checkDefaults(env Env) finding {
	f := finding{Check: "config", Status: checkOK, Message: "there is no folder for your own defaults"}
	path := env.defaultsFile()
	if path == "" {
		return f
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		f.Message = "no defaults of your own; they would be in " + path
		return f
	}
	own, err := request.ReadDefaults(path)
	if err != nil {
		f.Remedy = mendDefaults
		return f.failed(&usageError{message: err.Error()}, "your own defaults, %s: %s", path, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	f.Message = "your own defaults: " + path
	run := request.Run{Model: own.Model, Jobs: []request.Request{own.Job}}
	if text, err := run.EncodeTOML(); err == nil {
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" {
				f.Details = append(f.Details, line)
			}
		}
	}
	return f
}
