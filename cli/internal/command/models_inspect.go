package command

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/words"
)

// inspectOptions is what models inspect is asked to do.
type inspectOptions struct {
	path        string
	hash, check bool
	json        bool
}

func inspectModel(c *cli.Context, env Env) error {
	o := inspectOptions{hash: c.Bool("hash"), check: c.Bool("check"), json: c.Bool("json")}
	var err error
	if o.path, err = modelPath(c.Context, c.Args().First()); err != nil {
		return err
	}
	report, err := modelfile.Inspect(o.path)
	if err != nil {
		return err
	}
	if o.hash {
		if err := o.hashFiles(c.Context, env, &report); err != nil {
			return err
		}
	}
	if o.json {
		err = printJSON(env.Stdout, report)
	} else {
		err = printReport(env, report)
	}
	if err == nil && o.check {
		err = o.runCheck(env)
	}
	return err
}

func (o inspectOptions) hashFiles(ctx context.Context, env Env, report *modelfile.Report) error {
	var r progress.Reporter = progress.Discard{}
	if !o.json {
		r = progress.NewText(progress.TextOptions{Out: env.Stderr, Err: env.Stderr, Bar: env.bar(), Now: env.Now})
	}
	defer r.Close()
	r.Report(progress.Start{Jobs: 1})
	return report.Hash(ctx, func(done, total int64) {
		r.Report(progress.Step{Stage: "hash", Done: done, Total: total})
	})
}

// runCheck holds every tensor against the shape it must have.
func (o inspectOptions) runCheck(env Env) error {
	if _, err := modelfile.Check(o.path); err != nil {
		return err
	}
	if o.json {
		return nil
	}
	var p page
	p.line("check: every tensor is there, with the right shape")
	return p.print(env)
}

// printReport prints a report for people.
func printReport(env Env, r modelfile.Report) error {
	rows := [][]string{{"path", r.Path}, {"kind", kindText(r)}}
	if r.Layout != "" {
		rows = append(rows, []string{"layout", string(r.Layout)})
	}
	rows = append(rows, []string{"size", fmt.Sprintf("%s in %d tensors, %s parameters", words.Bytes(r.Size), r.Tensors, count(r.Parameters))})
	for _, f := range r.Files {
		line := fmt.Sprintf("%s, %s, %d tensors", f.Format, words.Bytes(f.Size), f.Tensors)
		if f.SHA256 != "" {
			line += ", sha256 " + f.SHA256
		}
		if len(r.Files) > 1 {
			line = f.Path + ": " + line
		}
		rows = append(rows, []string{"file", line})
	}
	rows = append(rows, dimRows(r.Dims)...)
	if s := r.Scaled; s != nil {
		text := fmt.Sprintf("%d matrices, each with its %s", s.Matrices, s.Spelling)
		if s.Activations > 0 {
			text += fmt.Sprintf("; %d scales of activations, which are not needed here", s.Activations)
		}
		rows = append(rows, []string{"scaled FP8", text})
	}
	rows = append(rows, configRows(r.Config)...)
	var p page
	p.table(rows)
	table := [][]string{{""}, {"COMPONENT", "TENSORS", "PARAMETERS", "BYTES", "TYPES", "PREFIX"}}
	for _, c := range r.Components {
		table = append(table, []string{c.Name, fmt.Sprint(c.Tensors), count(c.Parameters), words.Bytes(c.Bytes), types(c.DTypes),
			cmp.Or(c.Prefix, "-")})
	}
	p.table(table)
	p.table(unusedRows(r))
	p.table(metadataRows(r))
	return p.print(env)
}

// maxUnused is how many unused tensors are printed; --json has all.
const maxUnused = 20

// unusedRows lists the tensors that no component uses.
func unusedRows(r modelfile.Report) (rows [][]string) {
	if !r.Supported() || len(r.Unused) == 0 {
		return nil
	}
	rows = [][]string{{""}, {"UNUSED TENSOR", "COMPONENT", "WHAT IT IS"}}
	for _, u := range r.Unused[:min(len(r.Unused), maxUnused)] {
		what := u.What
		if u.Fault {
			what = strings.Trim(what+", would change the picture: the file is refused", ", ")
		}
		rows = append(rows, []string{strings.Map(printable, u.Name), cmp.Or(u.Component, "-"), cmp.Or(what, "unknown")})
	}
	if more := len(r.Unused) - maxUnused; more > 0 {
		rows = append(rows, []string{fmt.Sprintf("and %d more", more)})
	}
	return rows
}

// kindText names the kind, and says why it cannot be used where that is so.
func kindText(r modelfile.Report) string {
	s := string(r.Kind)
	if r.UNetKind != "" && r.UNetKind != r.Kind {
		s += " (of " + string(r.UNetKind) + ")"
	}
	if !r.Supported() {
		s += ": not supported, " + r.Reason
	}
	return s
}

func dimRows(d modelfile.Dims) (rows [][]string) {
	if u := d.UNet; u != nil {
		rows = append(rows, []string{"unet", fmt.Sprintf("%d -> %d channels, levels %s, depths %s, middle %d, context %d, label %d",
			u.InChannels, u.OutChannels, ints(u.Channels), depths(u.DownDepth), u.MiddleDepth, u.ContextDim, u.LabelDim)})
		if u.GuidanceDim > 0 {
			rows = append(rows, []string{"guidance", fmt.Sprintf("the UNet is told its scale by %d numbers (LCM); there is no negative half",
				u.GuidanceDim)})
		}
	}
	for _, t := range []struct {
		name string
		dims *modelfile.TextDims
	}{{"text_encoder", d.TextEncoder}, {"text_encoder_2", d.TextEncoder2}} {
		if t.dims != nil {
			rows = append(rows, []string{t.name, fmt.Sprintf("width %d, %d layers, projection %d, vocabulary %d",
				t.dims.Width, t.dims.Layers, t.dims.ProjectionDim, t.dims.VocabSize)})
		}
	}
	if v := d.VAE; v != nil {
		rows = append(rows, []string{"vae", fmt.Sprintf("%d latent channels, encoder %s, decoder %s",
			v.LatentChannels, ints(v.EncoderChannels), ints(v.DecoderChannels))})
	}
	return rows
}

func configRows(c modelfile.Config) (rows [][]string) {
	add := func(name string, set bool, format string, args ...any) {
		if set {
			rows = append(rows, []string{name, fmt.Sprintf(format, args...)})
		}
	}
	add("prediction", c.Scheduler.PredictionType != "", "%s", c.Scheduler.PredictionType)
	add("scheduler", c.Scheduler.ClassName != "", "%s", c.Scheduler.ClassName)
	add("vae scaling", c.VAE.ScalingFactor != 0, "%v", c.VAE.ScalingFactor)
	add("norm groups", c.UNet.NormNumGroups != 0, "unet %d, vae %d", c.UNet.NormNumGroups, c.VAE.NormNumGroups)
	add("default size", c.Default.Width != 0 || c.Default.Height != 0, "%d x %d", c.Default.Width, c.Default.Height)
	add("default steps", c.Default.NumInferenceSteps != 0, "%d", c.Default.NumInferenceSteps)
	add("settings from", len(c.Sources) > 0, "%s", strings.Join(c.Sources, ", "))
	return rows
}

// maxMetadata is how much of one metadata value is printed, in runes; --json has all.
const maxMetadata = 100

func metadataRows(r modelfile.Report) (rows [][]string) {
	for _, k := range slices.Sorted(maps.Keys(r.Metadata)) {
		v := strings.Map(printable, r.Metadata[k])
		if runes := []rune(v); len(runes) > maxMetadata {
			v = string(runes[:maxMetadata]) + "..."
		}
		rows = append(rows, []string{strings.Map(printable, k), v})
	}
	if len(rows) > 0 {
		rows = append([][]string{{""}, {"METADATA", "VALUE"}}, rows...)
	}
	for i, w := range r.Warnings {
		if i == 0 {
			rows = append(rows, []string{""})
		}
		rows = append(rows, []string{"warning: " + w})
	}
	return rows
}

// printable keeps control characters of a stranger's file off the terminal.
func printable(r rune) rune {
	if r < 0x20 || r >= 0x7f && r < 0xa0 {
		return ' '
	}
	return r
}

// types writes "F16 1680, F32 2", the most frequent first.
func types(m map[modelfile.DType]int64) string {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b modelfile.DType) int {
		if m[a] != m[b] {
			return int(m[b] - m[a])
		}
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	parts := make([]string, len(keys))
	for i, k := range keys {
		parts[i] = fmt.Sprintf("%v %d", k, m[k])
	}
	return strings.Join(parts, ", ")
}

// count writes a number of parameters for people: "981", "3.2 M", "2.57 B".
func count(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f B", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	}
	return fmt.Sprint(n)
}

func ints(a []int) string {
	if len(a) == 0 {
		return "none"
	}
	return strings.Trim(fmt.Sprint(a), "[]")
}

// depths writes the transformer depth of each level; levels whose resnets differ list them all.
func depths(levels [][]int) string {
	parts := make([]string, len(levels))
	for i, l := range levels {
		switch {
		case len(l) == 0:
			parts[i] = "0"
		case slices.Min(l) == slices.Max(l):
			parts[i] = fmt.Sprint(l[0])
		default:
			parts[i] = strings.ReplaceAll(ints(l), " ", "+")
		}
	}
	return strings.Join(parts, " ")
}
