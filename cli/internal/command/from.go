package command

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/recall"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// fromPicture reads the settings of the picture that --from names, in the place of a run file. Of the user's own defaults only what does
// not change a picture counts, and the model if the picture names none.
func (o *generateOptions) fromPicture(c *cli.Context, defaults request.Defaults) error {
	found, err := recall.ReadFile(o.from)
	if err != nil {
		return &inputError{err}
	}
	o.found = found
	o.run = found.Run
	o.run.Jobs = slices.Clone(found.Run.Jobs)
	placed(&o.run.Model, defaults.Model)
	job := &o.run.Jobs[0]
	job.Output, job.Quality, job.Metadata, job.MaxBatch, job.SaveLatents = defaults.Job.Output, defaults.Job.Quality, defaults.Job.Metadata,
		defaults.Job.MaxBatch, defaults.Job.SaveLatents
	if c.IsSet("scheduler") && (job.SchedulerOptions != nil || job.Sigmas != "") {
		job.SchedulerOptions, job.Sigmas = nil, ""
		found.Notes = append(found.Notes, "the options of the picture's scheduler are left out, since --scheduler is given")
	} else if c.IsSet("sigmas") {
		job.SchedulerOptions = withoutSpacing(job.SchedulerOptions)
	}
	if c.IsSet("hires") {
		job.Hires.Width, job.Hires.Height = 0, 0 // a factor is given instead
	}
	return nil
}

// placed takes from the user's own defaults where files are, and what is about memory and speed.
func placed(m *request.Model, own request.Model) {
	if m.Model == "" {
		m.Model = own.Model
	}
	if m.Device == "" {
		m.Device = own.Device
	}
	if m.TAESD == "" {
		m.TAESD = own.TAESD // for previews
	}
	slicing := m.Memory.AttentionSlicing
	if m.Memory = own.Memory; slicing != nil {
		m.Memory.AttentionSlicing = slicing
	}
	m.RefinerOnDemand, m.Threads, m.TextCacheMB, m.WeightCacheMB, m.ControlNetCacheMB, m.LoRACache = own.RefinerOnDemand, own.Threads,
		own.TextCacheMB, own.WeightCacheMB, own.ControlNetCacheMB, own.LoRACache
	m.EmbeddingDirectories, m.ControlNetDirectories, m.IPAdapterDirectories, m.ModelDirectories, m.LoRADirectories = own.EmbeddingDirectories,
		own.ControlNetDirectories, own.IPAdapterDirectories, own.ModelDirectories, own.LoRADirectories
}

// withoutSpacing leaves out the options that a word of sigmas sets.
func withoutSpacing(options map[string]any) map[string]any {
	out := maps.Clone(options)
	for _, word := range scheduler.SpacingNames() {
		spacing, err := scheduler.ResolveSpacing(word)
		if err != nil {
			continue
		}
		for key := range spacing.Options.Map() {
			delete(out, key)
		}
	}
	return out
}

// findFiles puts the files of this machine in the place of the picture's names, once flags have changed them.
func (o *generateOptions) findFiles(c *cli.Context, env Env) error {
	err := o.found.Find(c.Context, &o.run, recall.Options{Beside: filepath.Dir(o.from), Pull: o.pull})
	if made := o.found.Made; err == nil && o.found.Program == recall.Own {
		lib := env.Native.Library()
		now := [3]string{Version(), lib.Engine, lib.Variant + " " + lib.Version}
		if was := [3]string{made.Release, made.Engine, made.Library}; lib.Loaded && was != now {
			o.found.Differs = append(o.found.Differs, fmt.Sprintf("it was made by daguerre %s with the library %s; this is daguerre %s with the "+
				"library %s: the pixels may differ", was[0], was[2], now[0], now[2]))
		}
	}
	return err
}

// tellFound reports what became of the picture's settings.
func (o *generateOptions) tellFound(r progress.Reporter) {
	if o.found == nil {
		return
	}
	r.Report(progress.Note{Message: fmt.Sprintf("settings of %s, written by %s", o.from, o.found.Program)})
	for _, text := range o.found.Notes {
		r.Report(progress.Note{Message: text})
	}
	for _, text := range o.found.Differs {
		r.Report(progress.Warning{Message: text})
	}
}

// requestFromPNG prints a picture's settings as a run file.
func requestFromPNG(c *cli.Context, env Env) error {
	to := strings.ToLower(c.String("to"))
	if to != "" && to != "json" && to != "toml" {
		return usagef(c.Command.HelpName, "--to %q is unknown; it is json or toml", words.Clip(to))
	}
	found, err := recall.ReadFile(c.Args().First())
	if err != nil {
		return &inputError{err}
	}
	for _, text := range slices.Concat(found.Notes, found.Needs(), found.Differs) {
		if err := printTo(env.Stderr, "note: %s\n", strings.Map(printable, text)); err != nil {
			return err
		}
	}
	var text []byte
	if to == "json" {
		text, err = found.Run.EncodeJSON(request.SnakeCase)
	} else {
		text, err = found.Run.EncodeTOML()
	}
	if err != nil {
		return err
	}
	return printData(env.Stdout, text)
}
