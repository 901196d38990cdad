package command

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/weightcache"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// listWeights lists the files of converted weights.
func listWeights(c *cli.Context, env Env) error {
	folder := weightcache.Folder(pipeline.CacheDir())
	files, err := weightcache.List(folder)
	if err != nil {
		return &inputError{err}
	}
	if files == nil {
		files = []weightcache.File{} // [] where there are none
	}
	if len(files) == 0 && !c.Bool("json") {
		return printTo(env.Stdout, "No converted weights are kept in %s. A model whose weights are converted for this CPU fills it.\n", folder)
	}
	rows := [][]string{{"COMPONENT", "SIZE", "LAST USED", "FILE"}}
	var all int64
	for _, f := range files {
		component := f.Component
		if f.Partial {
			component += " (being written)"
		}
		all += f.Bytes
		rows = append(rows, []string{component, words.Bytes(f.Bytes), f.Used.Local().Format(time.DateTime), filepath.Base(f.Path)})
	}
	if err := printList(env, c.Bool("json"), files, rows); err != nil || c.Bool("json") {
		return err
	}
	return printTo(env.Stdout, "%s in %s\n", words.Bytes(all), folder)
}

// cleanOptions is what cache clean is asked to do.
type cleanOptions struct {
	age time.Duration
	display
}

func cleanOptionsOf(c *cli.Context) (o cleanOptions, err error) {
	if o.display, err = displayOf(c); err != nil {
		return o, err
	}
	if o.age = c.Duration("unused"); o.age < 0 {
		return o, usagef(c.Command.HelpName, "--unused must not be negative")
	}
	return o, noArgs(c, "; it deletes all converted weights, or with --unused the older ones")
}

// cleaned is what cache clean tells with --json.
type cleaned struct {
	Files int   `json:"files"`
	Freed int64 `json:"freed"` // bytes
}

func (o cleanOptions) execute(_ context.Context, env Env) error {
	files, err := weightcache.List(weightcache.Folder(pipeline.CacheDir()))
	if err != nil {
		return &inputError{err}
	}
	var done cleaned
	for _, f := range files {
		if env.Now().Sub(f.Used) < o.age {
			continue
		}
		if err := weightcache.Remove(f); err != nil {
			return &outputError{fmt.Errorf("removing %s: %w", f.Path, err)}
		}
		done.Files++
		done.Freed += f.Bytes
	}
	switch {
	case o.json:
		return printJSON(env.Stdout, done)
	case o.quiet:
		return nil
	}
	return printTo(env.Stdout, "%d %s removed, %s freed\n", done.Files, words.Plural(done.Files, "file"), words.Bytes(done.Freed))
}
