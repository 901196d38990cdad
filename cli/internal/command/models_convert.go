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
	dtype             string
	rules             []string
	report, overwrite bool
	display
}

func modelsConvertCommand(env Env) *cli.Command {
	names := make([]string, len(convert.Types))
	for i, t := range convert.Types {
		names[i] = strings.ToLower(string(t))
	}
	return &cli.Command{
		Name:      "convert",
		Usage:     "write a model in another type: quantized GGUF, or plain safetensors or GGUF",
		UsageText: "daguerre models convert FILE|DIR|nano OUT --type TYPE [--rule PATTERN=TYPE ...] [--report]",
		Description: `Reads a .safetensors, .gguf, .ckpt or .pt file or a diffusers folder and writes one file; the extension of OUT chooses its
format: .gguf, or .safetensors for f32, f16 and bf16. Matrices get the type; norms and biases stay as they are; embeddings, the time
and label embedding, the first and last convolution, all convolutions of a quantized file and the VAE keep 16 bits or
more. Matrices whose rows are no whole blocks of a type get one with smaller blocks.

A rule makes an exception: its PATTERN is unet, vae, text_encoder or text_encoder_2, or a regular expression that is found
in a tensor's name. Of several rules that match, the last counts. Every tensor is read back from the disk and compared.

EXAMPLES:
   daguerre models convert sdxl.safetensors sdxl-q8_0.gguf --type q8_0
   daguerre models convert sdxl.safetensors sdxl-q4_k.gguf --type q4_k --rule 'attn.*=q8_0' --rule text_encoder=f16 --report
   daguerre models convert sdxl-folder/ sdxl-f16.safetensors --type f16

` + exitCodesHelp,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "type", Aliases: []string{"t"}, Usage: strings.Join(names, ", ")},
			&cli.StringSliceFlag{Name: "rule", Aliases: []string{"r"},
				Usage: "`PATTERN=TYPE` for tensors whose name matches; may be given several times"},
			&cli.BoolFlag{Name: "report", Usage: "print the type and the error of every tensor", DisableDefaultText: true},
			&cli.BoolFlag{Name: "overwrite", Usage: "replace a file that exists", DisableDefaultText: true},
		}, displayFlags()...),
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return usagef(c.Command.HelpName, "give the model to read and the file to write")
			}
			opts := convertOptions{in: c.Args().Get(0), out: c.Args().Get(1), dtype: c.String("type"), rules: c.StringSlice("rule"),
				report: c.Bool("report"), overwrite: c.Bool("overwrite")}
			var err error
			if opts.display, err = displayOf(c); err != nil {
				return err
			}
			conversion, err := opts.check(c.Command.HelpName)
			if err != nil {
				return err
			}
			r := opts.display.reporter(env, "")
			return finish(r, opts.execute(c.Context, env, r, conversion))
		},
	}
}

// check finds mistakes without touching a file.
func (o convertOptions) check(command string) (convert.Options, error) {
	var opt convert.Options
	if o.dtype == "" {
		return opt, usagef(command, "--type is missing; give the type to convert to, as --type q8_0")
	}
	t, err := convert.ParseType(o.dtype)
	if err != nil {
		return opt, usagef(command, "--type: %v", err)
	}
	opt.Type = t
	for _, text := range o.rules {
		rule, err := convert.ParseRule(text)
		if err != nil {
			return opt, usagef(command, "--rule: %v", err)
		}
		opt.Rules = append(opt.Rules, rule)
	}
	ext := strings.ToLower(filepath.Ext(o.out))
	if ext != ".gguf" && ext != ".safetensors" {
		return opt, usagef(command, "the output %q must end in .gguf or .safetensors", o.out)
	}
	quantized := t.Quantized() || slices.ContainsFunc(opt.Rules, func(r convert.Rule) bool { return r.Type.Quantized() })
	if quantized && ext != ".gguf" {
		return opt, usagef(command, "safetensors has no quantized types: give the output a name that ends in .gguf")
	}
	return opt, nil
}

func (o convertOptions) execute(ctx context.Context, env Env, r progress.Reporter, opt convert.Options) error {
	in, err := modelPath(ctx, o.in)
	if err != nil {
		return err
	}
	out := filepath.Clean(o.out)
	if err := newFile(in, out, o.overwrite, ""); err != nil {
		return err
	}
	// Plain types are converted in Go; the library is needed only where a quantized one is read or written.
	opt.Quantizer = lazyQuantizer(sync.OnceValues(env.Native.Quantizer))
	opt.Program = name + " " + Version()
	began := env.Now()
	stage, stageBegan := convert.Stage(""), began
	opt.Progress = func(s convert.Stage, done, total int64) {
		if s != stage {
			stage, stageBegan = s, env.Now()
		}
		step := progress.Step{Stage: string(s), Done: done, Total: total, Seconds: env.Now().Sub(began).Seconds()}
		if done > 0 {
			step.ETASeconds = env.Now().Sub(stageBegan).Seconds() / float64(done) * float64(total-done)
		}
		r.Report(step)
	}
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
				t.Error),
				fmt.Sprintf("%.2g", t.MaxError), t.Why})
		}
	}
	if err := printTable(env.Stdout, rows); err != nil {
		return err
	}
	return printTo(env.Stdout, "%s of weights became %s (%.0f %%); every tensor was read back\n", words.Bytes(r.Before),
		words.Bytes(r.After),
		100*float64(r.After)/float64(max(r.Before, 1)))
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
