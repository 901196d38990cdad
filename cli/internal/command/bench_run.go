package command

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/machine"
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
			Devices: o.devices, Schedulers: o.schedulers, Reuse: o.reuse}.Cases()
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
			if err := printData(env.Stdout, b.Bytes()); err != nil {
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

// print is the report for people. In a pipe it is as wide as help; --csv and --json are for programs.
func (o benchOptions) print(env Env, report *benchmark.Report) error {
	var p page
	for _, line := range report.Conditions() {
		p.line("%s", line)
	}
	p.line("")
	p.figures(append([][]string{report.Header()}, report.Rows()...), 1, benchmark.MemoryColumn, benchmark.QualityColumn)
	for i, line := range append(report.Advice.Lines(), report.Notes...) {
		if i == 0 {
			p.line("")
		}
		p.line("%s", line)
	}
	return printTo(env.Stdout, "%s", p.layout(cmp.Or(env.width(), pipeWidth)))
}

// runBenchSession is what bench starts for each session: it reads one from standard input and prints what it measured.
func runBenchSession(c *cli.Context, env Env) error {
	var s benchmark.Session
	if err := json.NewDecoder(os.Stdin).Decode(&s); err != nil {
		return usagef("daguerre bench", "no session on standard input: %v", err)
	}
	out, err := benchmark.Measure(c.Context, benchmark.Opener(env.Open), env.probe(), s)
	if err != nil {
		return err
	}
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return printData(env.Stdout, append(data, '\n'))
}

// probe watches this machine.
func (env Env) probe() benchmark.Probe {
	return benchmark.Probe{Devices: env.Native.Devices, Energy: machine.NewEnergy().Read, PeakRSS: machine.PeakRSS}
}

// measurer starts a process for each session, where the environment names the program, and otherwise measures in this one.
func (env Env) measurer() benchmark.Measurer {
	if env.Executable == "" {
		return func(ctx context.Context, s benchmark.Session) (benchmark.Outcome, error) {
			return benchmark.Measure(ctx, benchmark.Opener(env.Open), env.probe(), s)
		}
	}
	return env.measureInProcess
}

// childError is the failure of a session's process, which said why.
type childError struct {
	error
	code int
}

// stopGrace is how long a session's process may take to end after it was asked to.
const stopGrace = 10 * time.Second

func (env Env) measureInProcess(ctx context.Context, s benchmark.Session) (benchmark.Outcome, error) {
	var out benchmark.Outcome
	in, err := json.Marshal(s)
	if err != nil {
		return out, err
	}
	cmd := exec.CommandContext(ctx, env.Executable, "bench", "session")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopGrace
	err = cmd.Run()
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	if err != nil {
		return out, describeChild(err, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		return out, fmt.Errorf("the session's process printed what is no outcome: %w", err)
	}
	return out, nil
}

// describeChild says why a session's process failed: in its own words, or by what ended it.
func describeChild(err error, said string) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return fmt.Errorf("starting a session's process: %w", err)
	}
	said = strings.TrimPrefix(strings.TrimSpace(said), name+": ")
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		if status.Signal() == syscall.SIGKILL {
			return &childError{errors.New("the session's process was killed, most likely because memory ran out; measure a smaller type or size"),
				ExitOutOfMemory}
		}
		return &childError{fmt.Errorf("the session's process ended by %v: %s", status.Signal(), lastLine(said)), ExitNative}
	}
	return &childError{errors.New(cmp.Or(said, exit.Error())), exit.ExitCode()}
}

func lastLine(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }
