package command

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// fuseOptions is what lora fuse is asked to do.
type fuseOptions struct {
	in, out           string
	stack             lora.Stack
	dirs              []string
	overwrite, strict bool
	display
}

// fuseOptionsOf reads the flags and finds mistakes without touching a file.
func fuseOptionsOf(c *cli.Context) (fuseOptions, error) {
	o := fuseOptions{in: c.Args().First(), out: c.String("output"), dirs: c.StringSlice("lora-dir"), overwrite: c.Bool("overwrite"),
		strict: c.Bool("lora-strict")}
	command := c.Command.HelpName
	list, err := addLoRAs(nil, c.StringSlice("lora"))
	switch ext := strings.ToLower(filepath.Ext(o.out)); {
	case err != nil:
		return o, usagef(command, "--lora %v", err)
	case len(list) == 0:
		return o, usagef(command, "--lora is missing; give at least one adapter")
	case o.out == "":
		return o, usagef(command, "--output is missing; give the file to write with -o")
	case ext != ".safetensors" && ext != ".gguf":
		return o, usagef(command, "the output %q must end in .safetensors or .gguf", words.Clip(o.out))
	}
	o.stack = lora.Stack{Adapters: list, Options: lora.Options{Strict: o.strict}}
	if err := o.stack.Validate(); err != nil {
		return o, usagef(command, "%v", err)
	}
	o.display, err = displayOf(c)
	return o, err
}

func (o fuseOptions) execute(ctx context.Context, env Env, r progress.Reporter) error {
	in, err := modelPath(ctx, o.in)
	if err != nil {
		return err
	}
	out := filepath.Clean(o.out)
	if err := newFile(in, out, o.overwrite, " with -o"); err != nil {
		return err
	}
	library := adapters.NewLibrary(o.dirs...)
	began, step := env.Now(), counted(env, r)
	r.Report(progress.Start{Version: Version(), Jobs: 1})
	report, err := adapters.Fuse(ctx, in, out, adapters.FuseOptions{Stack: o.stack,
		Quantizer: lazyQuantizer(sync.OnceValues(env.Native.Quantizer)),
		Resolve: func(a lora.Adapter) (string, error) {
			return library.Resolve(cmp.Or(a.Path, a.Name))
		}, Progress: func(done, total int64) { step(progress.StageWrite, done, total) }})
	if err != nil {
		switch { // those of reading keep their exit codes
		case ctx.Err() != nil:
			return ctx.Err()
		case exitCode(err) != ExitFailure:
			return err
		}
		return &outputError{fmt.Errorf("writing %s: %w", o.out, err)}
	}
	for _, a := range report.Adapters {
		if a.Partial() {
			r.Report(progress.Warning{Message: fmt.Sprintf("lora %q: only %s", a.Name, a.Summary())})
		}
	}
	r.Report(progress.File{Path: out, Bytes: fileSize(out), Seconds: env.Now().Sub(began).Seconds()})
	r.Report(progress.Done{Seconds: env.Now().Sub(began).Seconds()})
	if o.display.json || o.display.quiet {
		return nil
	}
	return printTo(env.Stdout, "%d of %d tensors changed by %d adapters\n", report.Changed, report.Tensors, len(report.Adapters))
}
