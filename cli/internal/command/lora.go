package command

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelname"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

func listLoRAs(c *cli.Context, env Env) error {
	dirs := append(c.StringSlice("lora-dir"), c.Args().Slice()...)
	if len(dirs) == 0 {
		return usagef(c.Command.HelpName, "give the folders to look in")
	}
	files, err := adapters.NewLibrary(dirs...).List()
	if err != nil {
		return err
	}
	rows := [][]string{{"NAME", "SIZE", "MODIFIED", "FILE"}}
	for _, f := range files {
		rows = append(rows, []string{strings.Map(printable, f.Name), words.Bytes(f.Size), f.ModTime.Format("2006-01-02 15:04"),
			strings.Map(printable, f.Path)})
	}
	return printList(env, c.Bool("json"), append([]library.Found{}, files...), rows) // [] where there are none
}

func inspectLoRA(c *cli.Context, env Env) error {
	path, err := adapters.NewLibrary(c.StringSlice("lora-dir")...).Resolve(c.Args().First())
	if err != nil {
		return err
	}
	f, err := openLoRA(c.Context, path, c.String("model"))
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Report.Hashes, err = adapters.Hash(c.Context, f.Report.Path); err != nil {
		return err
	}
	return printList(env, c.Bool("json"), f.Report, loraRows(f.Report))
}

// openLoRA opens an adapter against a model's dimensions, which its headers tell.
func openLoRA(ctx context.Context, path, model string) (*adapters.File, error) {
	model, err := modelPath(ctx, model)
	if err != nil {
		return nil, err
	}
	if model != "" {
		c, err := modelfile.OpenAll(model)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return adapters.Open(path, adapters.NewModel(adapters.ModulesOf(c.Dims)))
	}
	return adapters.Inspect(path)
}

// loraRows is a report for people.
func loraRows(r adapters.Report) [][]string {
	clean := func(s string) string { return strings.Map(printable, s) }
	rows := [][]string{{"name", clean(r.Name)}, {"path", clean(r.Path)},
		{"file", fmt.Sprintf("%s, %s, %d tensors", r.Format, words.Bytes(r.Size), r.Tensors)},
		{"applies", clean(r.Summary())}, {"changes", counts(r.Components)}, {"algorithm", counts(r.Algorithms)}}
	if r.DoRA > 0 {
		rows = append(rows, []string{"dora", fmt.Sprintf("%d modules with magnitudes", r.DoRA)})
	}
	if len(r.Ranks) > 0 {
		rows = append(rows, []string{"rank", rangeOf(r.Ranks)}, []string{"alpha", rangeOf(r.Alphas)})
	}
	rows = append(rows, []string{"types", counts(r.Types)}, []string{"memory", "about " + words.Bytes(r.Bytes)})
	o := r.Origin
	for _, row := range [][2]string{{"title", o.Title}, {"author", o.Author}, {"made for", o.BaseModel}, {"trained on", o.Checkpoint},
		{"trained by", o.Module}, {"description", o.Description}, {"license", o.License}, {"trigger words", strings.Join(o.TriggerWords, ", ")}} {
		if row[1] != "" {
			rows = append(rows, []string{row[0], clean(row[1])})
		}
	}
	if len(o.Tags) > 0 {
		var tags []string
		for _, t := range o.Tags[:min(len(o.Tags), 8)] {
			tags = append(tags, fmt.Sprintf("%s (%d)", clean(t.Name), t.Count))
		}
		rows = append(rows, []string{"frequent tags", strings.Join(tags, ", ")})
	}
	rows = append(rows, []string{"sha256", r.SHA256}, []string{"autov2", r.AutoV2})
	if r.AutoV3 != "" {
		rows = append(rows, []string{"autov3", r.AutoV3})
	}
	for _, w := range r.Warnings {
		rows = append(rows, []string{"warning", clean(w)})
	}
	return rows
}

// counts writes a table of numbers, the names in order.
func counts[K ~string](m map[K]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}

// rangeOf writes the one value, or the least and the greatest of an ascending list.
func rangeOf[T any](list []T) string {
	if len(list) == 1 {
		return fmt.Sprint(list[0])
	}
	return fmt.Sprintf("%v to %v", list[0], list[len(list)-1])
}

// addLoRAs puts the adapters of --lora flags behind those of a run file. One that the file has already keeps its other
// fields and gets the flag's weight. The list given is not changed.
func addLoRAs(list []lora.Adapter, flags []string) ([]lora.Adapter, error) {
	list = slices.Clone(list)
	for _, text := range flags {
		l, err := parseLoRA(text)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(list, func(have lora.Adapter) bool { return strings.EqualFold(have.Label(), l.Label()) })
		if i < 0 {
			list = append(list, l)
			continue
		}
		have := &list[i]
		have.Weight, have.TextEncoderWeight, have.UNetWeight, have.Enabled = l.Weight, l.TextEncoderWeight, l.UNetWeight, nil
	}
	return list, nil
}

// parseLoRA reads NAME, NAME:WEIGHT or NAME:TEXT:UNET, the order of <lora:...> tags. What looks like a file is a path. Colons
// that no number follows belong to the name.
func parseLoRA(text string) (lora.Adapter, error) {
	head, name, weights := "", text, []float64{}
	if rest, ok := strings.CutPrefix(text, "civitai:"); ok { // the number of a version is no weight
		head, name = "civitai:", rest
	}
	for len(weights) < 2 {
		i := strings.LastIndexByte(name, ':')
		if i < 0 {
			break
		}
		w, err := strconv.ParseFloat(strings.TrimSpace(name[i+1:]), 64)
		if point := words.DecimalPoint(name[i+1:]); point != "" {
			return lora.Adapter{}, fmt.Errorf("%q has a decimal comma; write %s:%s", words.Clip(text), words.Clip(name[:i]), point)
		}
		if err != nil {
			break
		}
		name, weights = name[:i], append(weights, w)
	}
	if name = strings.TrimSpace(name); name == "" {
		return lora.Adapter{}, fmt.Errorf("%q names no adapter; write NAME or NAME:0.8", words.Clip(text))
	}
	name = head + name
	l := lora.Adapter{Name: name}
	isFile := slices.Contains(adapters.Extensions, strings.ToLower(filepath.Ext(name)))
	if isFile || modelname.IsExplicit(name) || strings.ContainsRune(name, filepath.Separator) {
		l = lora.Adapter{Path: name}
	}
	switch len(weights) {
	case 1:
		l.Weight = &weights[0]
	case 2: // read from the end
		l.UNetWeight, l.TextEncoderWeight = &weights[0], &weights[1]
	}
	return l, nil
}
