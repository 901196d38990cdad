package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/convert"
	"github.com/daguerre-go/daguerre/internal/locate"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/words"
)

// mergeOptions is what control merge is asked to do.
type mergeOptions struct {
	in, model, out string
	dtype          modelfile.DType
	overwrite      bool
	display
}

// mergeOptionsOf reads the flags and finds mistakes without touching a file.
func mergeOptionsOf(c *cli.Context) (mergeOptions, error) {
	o := mergeOptions{in: c.Args().First(), model: c.String("model"), out: c.String("output"), overwrite: c.Bool("overwrite")}
	command := c.Command.HelpName
	switch {
	case o.model == "":
		return o, usagef(command, "--model is missing; give the model whose UNet the Control-LoRA changes")
	case o.out == "":
		return o, usagef(command, "--output is missing; give the file to write with -o")
	case !strings.EqualFold(filepath.Ext(o.out), ".safetensors"):
		return o, usagef(command, "the output %q must end in .safetensors", words.Clip(o.out))
	}
	var err error
	if o.dtype, err = convert.ParseType(cmp.Or(c.String("type"), "f16")); err != nil || o.dtype.Quantized() {
		return o, usagef(command, "--type %s: it must be f16, bf16 or f32", words.Clip(c.String("type")))
	}
	o.display, err = displayOf(c)
	return o, err
}

func (o mergeOptions) execute(ctx context.Context, env Env, r progress.Reporter) error {
	in, err := locate.Find(o.in, nil)
	if err != nil {
		return err
	}
	model, err := modelPath(ctx, o.model)
	if err != nil {
		return err
	}
	out := filepath.Clean(o.out)
	for _, from := range []string{in, model} {
		if err := newFile(from, out, o.overwrite, " with -o"); err != nil {
			return err
		}
	}
	began, step := env.Now(), counted(env, r)
	r.Report(progress.Start{Version: Version(), Jobs: 1})
	report, err := convert.MergeControlLoRA(ctx, in, model, out, convert.MergeOptions{Type: o.dtype,
		Progress: func(done, total int64) { step(progress.StageWrite, done, total) }})
	if err != nil {
		switch { // those of reading keep their exit codes
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, convert.ErrControlLoRA), errors.Is(err, convert.ErrValue):
			return &inputError{err}
		case exitCode(err) != ExitFailure:
			return err
		}
		return &outputError{fmt.Errorf("writing %s: %w", o.out, err)}
	}
	r.Report(progress.File{Path: out, Bytes: fileSize(out), Seconds: env.Now().Sub(began).Seconds()})
	r.Report(progress.Done{Seconds: env.Now().Sub(began).Seconds()})
	if o.display.json || o.display.quiet {
		return nil
	}
	return printTo(env.Stdout, "%d tensors: %d of the Control-LoRA, %d of the model, %d of the model and changed\n", report.Tensors,
		report.Own, report.Shared, report.Changed)
}
