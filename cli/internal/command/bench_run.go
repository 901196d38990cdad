package command

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
	benchmark "github.com/daguerre-go/daguerre/runtime/bench"
)

// stageMeasure is the progress of bench; it counts sessions.
const stageMeasure = "measure"

// execute prepares the models, measures and writes the reports. What could be measured is reported even where a case failed.
func (o benchOptions) execute(ctx context.Context, env Env) (err error) {
	o.fill()
	if err := o.prepareOutputs(); err != nil {
		return err
	}
	r := display{quiet: o.quiet}.reporter(env, "")
	defer r.Close()
	files := &benchFiles{opts: o, env: env, r: r}
	defer func() { err = errors.Join(err, os.RemoveAll(files.dir)) }()
	pictures, err := os.MkdirTemp("", "daguerre-bench-*")
	if err != nil {
		return &outputError{err}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(pictures)) }()
	models, err := files.models(ctx)
	if err != nil {
		return err
	}
	report, failure := o.measure(ctx, env, r, models, pictures)
	if report == nil {
		return failure
	}
	r.Close()
	return errors.Join(failure, o.write(env, report))
}

// prepareOutputs makes sure that the reports can be written, before anything is measured.
func (o benchOptions) prepareOutputs() error {
	for _, path := range o.outputs() {
		if path != "" && path != "-" {
			if err := new(output.Writer).Prepare(path); err != nil {
				return &usageError{message: err.Error()}
			}
		}
	}
	return nil
}

// measure runs the plan. The report is nil where nothing was measured.
func (o benchOptions) measure(ctx context.Context, env Env, r progress.Reporter, models []benchModel, pictures string) (*benchmark.Report,
	error) {
	byLabel := map[string]benchModel{}
	report := &benchmark.Report{Schema: benchmark.Schema, Created: env.Now().UTC().Truncate(time.Second), Command: env.Args,
		Machine: o.machine(ctx, env), Build: o.build(env), Notes: []string{}}
	var cases []benchmark.Case
	for _, m := range models {
		byLabel[m.Label] = m
		report.Models = append(report.Models, m.ModelReport)
		sizes := o.sizes
		if len(sizes) == 0 {
			sizes = []benchmark.Size{m.size}
		}
		some, err := benchmark.Axes{Models: []benchmark.Model{{Label: m.Label, Types: m.types}}, Sizes: sizes, Batches: o.batches,
			Devices: o.devices, Schedulers: o.schedulers}.Cases()
		if err != nil {
			return nil, &usageError{message: err.Error()}
		}
		cases = append(cases, some...)
	}
	report.Settings = benchmark.Settings{Steps: o.steps, Guidance: o.guidance, Warmup: o.warmup, Prompts: o.prompts(), Threads: o.threads,
		Precision: o.precision, Flash: o.flash, Processes: env.Executable != "", Convert: o.via == viaConvert}
	plan := benchmark.Plan{Cases: cases, Rounds: o.rounds, Budget: o.maxTime, Across: o.across, Check: o.check, Now: env.Now,
		Session: func(c benchmark.Case) benchmark.Session { return o.session(c, byLabel[c.Model].files[c.Type]) },
		Folder: func(i int) (string, error) {
			dir := filepath.Join(pictures, strconv.Itoa(i))
			return dir, os.Mkdir(dir, 0o700)
		}, Progress: func(p benchmark.Progress) {
			step := progress.Step{Stage: stageMeasure, Done: int64(p.Done), Total: int64(p.Total), Seconds: p.Elapsed.Seconds()}
			if p.Done > 0 {
				step.ETASeconds = p.Elapsed.Seconds() / float64(p.Done) * float64(p.Total-p.Done)
			}
			r.Report(step)
		}}
	began := env.Now()
	results, rounds, failure := benchmark.Run(ctx, plan, env.measurer())
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	report.Settings.Rounds, report.Results, report.Seconds = rounds, results, env.Now().Sub(began).Seconds()
	for i := range report.Results {
		x := &report.Results[i]
		x.FileBytes = byLabel[x.Model].files[x.Type].bytes
	}
	if after := benchmark.DescribeMachine().Load; len(after) > 0 {
		report.Machine.Load = append(report.Machine.Load, after...)
	}
	report.Advice = benchmark.Recommend(results, o.limits)
	report.AddNotes()
	return report, failure
}

// session is what a case's sessions are asked for.
func (o benchOptions) session(c benchmark.Case, file benchFile) benchmark.Session {
	s := benchmark.Session{Case: c, Path: file.path, Type: file.load, Precision: backend.Precision(o.precision), Threads: o.threads,
		Flash: o.flash, Steps: o.steps, Guidance: o.guidance, Warmup: o.warmup, Prompts: o.prompts()}
	s.Precision = cmp.Or(s.Precision, benchmark.PrecisionOf(c.Type))
	return s
}

func (o benchOptions) machine(ctx context.Context, env Env) benchmark.Machine {
	m := benchmark.DescribeMachine()
	m.Features = append(m.Features, env.Native.Library().CPUFeatures...)
	if devices, err := env.Native.Devices(ctx); err == nil {
		m.Devices = append(m.Devices, devices...)
	}
	return m
}

func (o benchOptions) build(env Env) benchmark.Build {
	lib := env.Native.Library()
	b := benchmark.Build{Version: Version(), Engine: lib.Engine, Compiler: lib.Compiler, Features: append([]string{}, lib.Features...),
		Go: runtime.Version()}
	if lib.Loaded {
		b.Library = "libdaguerre-" + lib.Variant + " " + lib.Version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value[:min(len(s.Value), 12)]
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	return b
}

// write prints the table, and writes the reports that are asked for.
func (o benchOptions) write(env Env, report *benchmark.Report) error {
	toStdout := false
	write := []func(io.Writer) error{report.Write, report.WriteCSV, report.WriteMarkdown, report.WriteHTML}
	for i, path := range o.outputs() {
		if path == "" {
			continue
		}
		var b bytes.Buffer
		if err := write[i](&b); err != nil {
			return err
		}
		if path == "-" {
			toStdout = true
			if err := printTo(env.Stdout, "%s", b.Bytes()); err != nil {
				return err
			}
			continue
		}
		if err := new(output.Writer).Replace(path, b.Bytes()); err != nil {
			return &outputError{fmt.Errorf("writing the report: %w", err)}
		}
		if !o.quiet {
			_, _ = fmt.Fprintf(env.Stderr, "%s  %s\n", path, words.Bytes(int64(b.Len())))
		}
	}
	if o.quiet || toStdout {
		return nil
	}
	return o.print(env, report)
}

// print is the report for a terminal.
func (o benchOptions) print(env Env, report *benchmark.Report) error {
	var p page
	for _, line := range report.Conditions() {
		p.line("%s", line)
	}
	p.table(append([][]string{{""}, report.Header()}, report.Rows()...))
	for i, line := range append(report.Advice.Lines(), report.Notes...) {
		if i == 0 {
			p.line("")
		}
		p.line("%s", line)
	}
	return p.print(env)
}
