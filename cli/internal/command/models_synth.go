package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/words"
)

// synthTypes are the types a synthetic model can be written in.
var synthTypes = []string{"f16", "f32", "bf16"}

// synthOptions is what models synth is asked to do.
type synthOptions struct {
	kind, dtype, layout, output string
	seed                        uint64
	rank                        int
	overwrite                   bool
	display
}

// synthOptionsOf reads the flags and finds mistakes without touching a file.
func synthOptionsOf(c *cli.Context) (synthOptions, error) {
	o := synthOptions{kind: c.String("kind"), dtype: strings.ToLower(c.String("type")), layout: c.String("layout"), output: c.String("output"),
		seed: c.Uint64("seed"), rank: c.Int("rank"), overwrite: c.Bool("overwrite")}
	command := c.Command.HelpName
	var err error
	if o.display, err = displayOf(c); err != nil {
		return o, err
	}
	layouts := []string{string(modelfile.LayoutOriginal), string(modelfile.LayoutDiffusers)}
	for _, f := range []struct {
		flag, value string
		known       []string
	}{{"kind", o.kind, strs(synth.Kinds)}, {"type", o.dtype, synthTypes}, {"layout", o.layout, layouts}} {
		switch {
		case f.value == "":
			return o, usagef(command, "--%s is missing; known are %s", f.flag, strings.Join(f.known, ", "))
		case !slices.Contains(f.known, f.value):
			hint := words.DidYouMean(f.value, f.known)
			return o, usagef(command, "--%s %q is unknown%s; known are %s", f.flag, words.Clip(f.value), hint, strings.Join(f.known, ", "))
		}
	}
	if o.output == "" {
		return o, usagef(command, "--output is missing; give the file to write with -o")
	}
	return o, nil
}

// folder reports whether a diffusers folder is asked for.
func (o synthOptions) folder() bool {
	return strings.HasSuffix(o.output, "/") || strings.HasSuffix(o.output, string(filepath.Separator))
}

func (o synthOptions) execute(ctx context.Context, env Env, r progress.Reporter) error {
	path := filepath.Clean(o.output)
	if _, err := os.Lstat(path); err == nil && (o.folder() || !o.overwrite) {
		return &usageError{message: path + " exists already; give another name with -o" + word(o.folder(), "", ", or --overwrite")}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &usageError{message: err.Error() + "; choose another name with -o"}
	}
	if err := new(output.Writer).Prepare(path); err != nil {
		return &usageError{message: err.Error()}
	}
	began := env.Now()
	r.Report(progress.Start{Version: Version(), Jobs: 1})
	var size int64
	step := counted(env, r)
	opts := synth.Options{Kind: synth.Kind(o.kind), Type: modelfile.DType(strings.ToUpper(o.dtype)), Layout: modelfile.Layout(o.layout),
		Seed: o.seed, Rank: o.rank, Progress: func(done, total int64) {
			size = total
			step(progress.StageWrite, done, total)
		}}
	write := synth.Write
	if o.folder() {
		opts.Layout, write = "", synth.WriteFolder
	}
	if err := write(ctx, path, opts); err != nil {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, synth.ErrOptions):
			return &usageError{message: err.Error()}
		}
		return &outputError{fmt.Errorf("writing the model: %w", err)}
	}
	r.Report(progress.File{Path: path, Bytes: size, Seconds: env.Now().Sub(began).Seconds()})
	r.Report(progress.Done{Seconds: env.Now().Sub(began).Seconds()})
	return nil
}
