package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/convert"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// convertOptions is what models convert is asked to do.
type convertOptions struct {
	in, out           string
	options           convert.Options
	report, overwrite bool
	display
}

// convertOptionsOf reads the flags and finds mistakes without touching a file.
func convertOptionsOf(c *cli.Context) (convertOptions, error) {
	o := convertOptions{in: c.Args().Get(0), out: c.Args().Get(1), report: c.Bool("report"), overwrite: c.Bool("overwrite")}
	command, opt := c.Command.HelpName, &o.options
	var err error
	if o.display, err = displayOf(c); err != nil {
		return o, err
	}
	if c.String("type") == "" {
		return o, usagef(command, "--type is missing; give the type to convert to, as --type q8_0")
	}
	if opt.Type, err = convert.ParseType(c.String("type")); err != nil {
		return o, usagef(command, "--type: %v", err)
	}
	for _, text := range c.StringSlice("rule") {
		rule, err := convert.ParseRule(text)
		if err != nil {
			return o, usagef(command, "--rule: %v", err)
		}
		opt.Rules = append(opt.Rules, rule)
	}
	ext := strings.ToLower(filepath.Ext(o.out))
	if ext != ".gguf" && ext != ".safetensors" {
		return o, usagef(command, "the output %q must end in .gguf or .safetensors", o.out)
	}
	quantized := opt.Type.Quantized() || slices.ContainsFunc(opt.Rules, func(r convert.Rule) bool { return r.Type.Quantized() })
	if quantized && ext != ".gguf" {
		return o, usagef(command, "safetensors has no quantized types: give the output a name that ends in .gguf")
	}
	return o, nil
}

func (o convertOptions) execute(ctx context.Context, env Env, r progress.Reporter) error {
	in, err := modelPath(ctx, o.in)
	if err != nil {
		return err
	}
	out := filepath.Clean(o.out)
	if err := newFile(in, out, o.overwrite, ""); err != nil {
		return err
	}
	opt := o.options
	// Plain types are converted in Go; the library is needed only where a quantized one is read or written.
	opt.Quantizer = lazyQuantizer(sync.OnceValues(env.Native.Quantizer))
	opt.Program = name + " " + Version()
	began := env.Now()
	step := counted(env, r)
	opt.Progress = func(s convert.Stage, done, total int64) { step(string(s), done, total) }
	r.Report(progress.Start{Version: Version(), Jobs: 1})
	report, err := convert.Convert(ctx, in, out, opt)
	if err != nil {
		return o.failed(ctx, err)
	}
	r.Report(progress.File{Path: out, Bytes: fileSize(out), Seconds: env.Now().Sub(began).Seconds()})
	if o.display.json && o.report {
		r.Report(progress.Result{Result: report})
	}
	r.Report(progress.Done{Seconds: env.Now().Sub(began).Seconds()})
	if o.display.json || o.display.quiet {
		return nil
	}
	return o.print(env, report)
}

// failed gives an error its exit code: those of reading keep theirs.
func (o convertOptions) failed(ctx context.Context, err error) error {
	var file *modelfile.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, convert.ErrOptions):
		return &usageError{message: err.Error()}
	case errors.Is(err, convert.ErrValue):
		return &inputError{err}
	case errors.As(err, &file) && !errors.Is(err, convert.ErrVerify):
		return err
	}
	if _, ok := nativeExitCode(err); ok {
		return err
	}
	return &outputError{fmt.Errorf("writing %s: %w", o.out, err)}
}

func (o convertOptions) print(env Env, r *convert.Report) error {
	rows := [][]string{{"TYPE", "TENSORS", "PARAMETERS", "BYTES", "ERROR", "WORST"}}
	for _, t := range r.Types {
		rows = append(rows, []string{t.Type, fmt.Sprint(t.Tensors), count(t.Elements), words.Bytes(t.Bytes), fmt.Sprintf("%.2g", t.Error),
			fmt.Sprintf("%.2g", t.Worst)})
	}
	if o.report {
		rows = append(rows, []string{""}, []string{"TENSOR", "SHAPE", "FROM", "TO", "ERROR", "LARGEST", "WHY"})
		for _, t := range r.Tensors {
			rows = append(rows, []string{strings.Map(printable, t.Name), strings.Trim(fmt.Sprint(t.Shape), "[]"), t.From, t.To, fmt.Sprintf("%.2g",
				t.Error), fmt.Sprintf("%.2g", t.MaxError), t.Why})
		}
	}
	var p page
	p.table(rows)
	if n := len(r.LeftOut); n > 0 {
		p.line("left out: %s that nothing uses, of types that %s does not have, such as %s", words.Plural(n, "tensor"), r.Format,
			words.Quote(r.LeftOut[0]))
	}
	p.line("%s of weights became %s (%.0f %%); every tensor was read back", words.Bytes(r.Before), words.Bytes(r.After),
		100*float64(r.After)/float64(max(r.Before, 1)))
	return p.print(env)
}

func fileSize(path string) int64 {
	if st, err := os.Stat(path); err == nil {
		return st.Size()
	}
	return 0
}

// lazyQuantizer opens the library at the first use.
type lazyQuantizer func() (backend.Quantizer, error)

// Quantize implements backend.Quantizer.
func (l lazyQuantizer) Quantize(t backend.Type, values []float32, columns int, out []byte) error {
	q, err := l()
	if err != nil {
		return err
	}
	return q.Quantize(t, values, columns, out)
}

// Dequantize implements backend.Quantizer.
func (l lazyQuantizer) Dequantize(t backend.Type, data []byte, columns int, values []float32) error {
	q, err := l()
	if err != nil {
		return err
	}
	return q.Dequantize(t, data, columns, values)
}
