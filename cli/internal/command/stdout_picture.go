package command

import (
	"context"
	"io"
	"os"
	"path/filepath"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// toStdout as an output is standard output: the picture is written there as PNG.
const toStdout = "-"

// forStdout reports whether the run's picture goes to standard output. Mistakes are added to errs.
func (o generateOptions) forStdout(env Env, errs *request.Errors) bool {
	wanted := false
	for i, job := range o.run.Jobs {
		if job.Output != toStdout {
			continue
		}
		wanted = true
		key := o.run.Path(i, "output")
		switch {
		case countImages(o.run.Jobs) > 1:
			errs.Add(key, "is standard output, which takes one picture; this run makes %d", countImages(o.run.Jobs))
		case o.json:
			errs.Add(key, "is standard output, where --json writes events; leave one of them out")
		case env.width() > 0:
			errs.Add(key, "is standard output, which is a terminal now; a picture is for a file or a pipe: add > picture.png")
		}
	}
	return wanted
}

// executeToStdout makes the one picture in a folder of its own, and copies it to standard output when it is complete. What is told of it
// goes to standard error.
func (o generateOptions) executeToStdout(ctx context.Context, env Env) error {
	out := exact(env.Stdout)
	if env.OwnStdout != nil { // so that no line of a library gets into the picture
		var err error
		if out, err = env.OwnStdout(); err != nil {
			return &outputError{err}
		}
	}
	dir, err := os.MkdirTemp("", name+"-*")
	if err != nil {
		return &outputError{err}
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is a folder for temporary files
	path := filepath.Join(dir, "picture.png")
	o.run.Jobs[0].Output, o.resumable = path, false
	env.Stdout = env.Stderr
	r := renamed{o.display.reporter(env, o.note), path}
	if err := finish(r, o.generate(ctx, env, r)); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return &outputError{err}
	}
	defer f.Close()
	if _, err := io.Copy(out, f); err != nil {
		return &outputError{err}
	}
	return nil
}

// renamed is a Reporter that calls the file of the picture standard output.
type renamed struct {
	progress.Reporter
	path string
}

// Report reports an event.
func (r renamed) Report(e progress.Event) {
	if image, ok := e.(progress.Image); ok && image.Path == r.path {
		image.Path = toStdout
		e = image
	}
	r.Reporter.Report(e)
}
