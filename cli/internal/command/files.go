package command

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/locate"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// newFile makes sure that a file can be written and is not the one that is read; how says how to name another.
func newFile(in, out string, overwrite bool, how string) error {
	from, err := os.Stat(in)
	if err != nil {
		return nil // opening it says more
	}
	to, err := os.Stat(out)
	switch {
	case err == nil && os.SameFile(from, to):
		return &usageError{message: out + " is the input itself; give another name" + how}
	case err == nil && !overwrite:
		return &usageError{message: out + " exists already; give another name" + how + ", or --overwrite"}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return &usageError{message: err.Error() + "; choose another name" + how}
	}
	if err := new(output.Writer).Prepare(out); err != nil {
		return &usageError{message: err.Error()}
	}
	return nil
}

// counted returns what reports how far a long task is: done of total in one of its stages.
func counted(env Env, r progress.Reporter) func(stage string, done, total int64) {
	began := env.Now()
	now, since := "", began
	return func(stage string, done, total int64) {
		if now != "" && stage != now {
			since = env.Now()
		}
		now = stage
		step := progress.Step{Stage: stage, Done: done, Total: total, Seconds: env.Now().Sub(began).Seconds()}
		if done > 0 {
			step.ETASeconds = env.Now().Sub(since).Seconds() / float64(done) * float64(total-done)
		}
		r.Report(step)
	}
}

// modelPath is where a model is that is named by its path or by its name; nano is unpacked first.
func modelPath(ctx context.Context, text string) (string, error) {
	if text != pipeline.NanoModel {
		return locate.Find(text, nil)
	}
	return nano.Path(ctx)
}
