package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// The outcomes of a check.
const (
	checkOK   = "ok"
	checkWarn = "warn"
	checkFail = "fail"
)

// finding is the outcome of one of the doctor's checks.
type finding struct {
	Check   string   `json:"check"`
	Status  string   `json:"status"` // "ok", "warn", "fail"
	Message string   `json:"message"`
	Details []string `json:"details,omitempty"`
	Remedy  string   `json:"remedy,omitempty"`

	err error // decides the exit code
}

// failed makes a finding of what went wrong.
func (f finding) failed(err error, format string, args ...any) finding {
	f.Status, f.Message, f.err = checkFail, fmt.Sprintf(format, args...), err
	return f
}

// diagnosis is what doctor --json prints.
type diagnosis struct {
	Schema   int       `json:"schema"`
	Version  string    `json:"version"`
	OK       bool      `json:"ok"` // no check failed
	Library  Library   `json:"library"`
	Findings []finding `json:"findings"`

	Devices []deviceTest `json:"devices,omitempty"` // with --deep
	Tuning  []tuning     `json:"tuning,omitempty"`  // of GPUs
}

func runDoctor(c *cli.Context, env Env) error {
	ctx, deep, devices := c.Context, c.Bool("deep"), c.StringSlice("device")
	if len(devices) > 0 && !deep && !c.Bool("tune") {
		return usagef(c.Command.HelpName, "--device says what --deep compares and --tune measures; give --deep or --tune, too")
	}
	d := diagnosis{Schema: 1, Version: Version(), OK: true, Library: env.Native.Library()}
	d.Findings = append(d.Findings, checkLibrary(d.Library))
	if !d.Library.Loaded {
		d.Findings = append(d.Findings, checkCache(), checkDefaults(env))
	} else {
		d.Findings = append(d.Findings, checkCPU(d.Library), checkDevices(ctx, env), checkCache(), checkDefaults(env))
		d.Findings = append(d.Findings, checkNano(ctx, env, deep)...)
	}
	if d.Library.Loaded {
		var err error
		var f []finding
		if d.Tuning, f, err = tuningOf(ctx, env, devices, c.Bool("tune")); err != nil {
			return err
		}
		d.Findings = append(d.Findings, f...)
	}
	if d.Library.Loaded && deep {
		var err error
		if d.Devices, err = deepDevices(ctx, env, devices); err != nil {
			return err
		}
		d.Findings = append(d.Findings, deepFinding(d.Devices))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var failure error
	for _, f := range d.Findings {
		if f.Status == checkFail && failure == nil {
			d.OK, failure = false, reported(cmp.Or(f.err, errors.New(f.Message)))
		}
	}
	return cmp.Or(d.print(env, c.Bool("json")), failure)
}

func (d diagnosis) print(env Env, asJSON bool) error {
	if asJSON {
		return printJSON(env.Stdout, d)
	}
	var p page
	for _, f := range d.Findings {
		p.line("%-4s  %-10s  %s", f.Status, f.Check, f.Message)
		for _, line := range f.Details {
			p.line("%18s%s", "", line)
		}
		if f.Remedy != "" {
			p.line("%18s-> %s", "", f.Remedy)
		}
	}
	return p.print(env)
}

// checkLibrary tells which library is in use, and why each one tried before it is not.
func checkLibrary(lib Library) finding {
	f := finding{Check: "library", Status: checkOK}
	for _, a := range lib.Attempts {
		f.Details = append(f.Details, fmt.Sprintf("%s %s (%s): %s", word(a.OK, "+", "-"), a.Path, a.Source, a.Outcome))
	}
	if !lib.Loaded {
		f.Status, f.Message = checkFail, "libdaguerre could not be loaded"
		f.Remedy = "install it (`daguerre install`, or `make install` in the source tree), set DAGUERRE_LIBRARY to its path, or build it with `make`"
		f.err = errNoLibrary
		if len(lib.Attempts) == 0 {
			f.Message += ": " + lib.Error
		}
		return f
	}
	f.Message = fmt.Sprintf("libdaguerre-%s %s, engine %s, %s", lib.Variant, lib.Version, lib.Engine, lib.Compiler)
	return f
}

// checkCPU compares what the library was compiled for with what this CPU has.
func checkCPU(lib Library) finding {
	f := finding{Check: "cpu", Status: checkOK, Message: "has " + orNone(lib.CPUFeatures)}
	f.Details = []string{"compiled in: " + orNone(lib.Features)}
	if lib.Level != "" {
		f.Details = append(f.Details, "level: "+lib.Level+", "+word(os.Getenv("DAGUERRE_CPU_LEVEL") != "", "by DAGUERRE_CPU_LEVEL",
			"the best of the installed ones that this CPU has"))
	}
	var unused []string
	for _, have := range lib.CPUFeatures {
		if !slices.Contains(lib.Features, have) {
			unused = append(unused, have)
		}
	}
	if len(unused) > 0 {
		f.Status = checkWarn
		f.Message = "the library does not use all of this CPU: " + strings.Join(unused, " ")
		f.Remedy = "rebuild it on this machine with `make`"
		if lib.Level != "" {
			f.Remedy = word(os.Getenv("DAGUERRE_CPU_LEVEL") != "", "unset DAGUERRE_CPU_LEVEL", "install the libraries of all levels, or build one on this machine with `make`")
		}
	}
	return f
}

func orNone(words []string) string {
	return cmp.Or(strings.Join(words, " "), "no special instruction sets")
}

func checkDevices(ctx context.Context, env Env) finding {
	f := finding{Check: "devices", Status: checkOK}
	devices, err := env.Native.Devices(ctx)
	if err != nil {
		f.Remedy = "check the device's driver, or set DAGUERRE_LIBRARY to the cpu variant"
		return f.failed(err, "%v", err)
	}
	if len(devices) == 0 {
		f.Remedy = "rebuild the library with `make`"
		return f.failed(errNoLibrary, "none found")
	}
	var ids []string
	for _, d := range devices {
		ids = append(ids, d.ID)
		line := fmt.Sprintf("%s: %s, %s of %s free", d.ID, d.Description, words.Bytes(d.FreeBytes), words.Bytes(d.TotalBytes))
		if d.Software {
			line += " (software: only by explicit choice)"
		}
		f.Details = append(f.Details, line)
	}
	f.Message = strings.Join(ids, ", ")
	return f
}

// checkCache makes sure that the embedded model can be unpacked.
func checkCache() finding {
	f := finding{Check: "cache", Status: checkOK, Remedy: "make it writable, or set " + nano.CacheEnv + " to another folder"}
	dir, err := nano.CacheDir()
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	var probe *os.File
	if err == nil {
		probe, err = os.CreateTemp(dir, ".doctor-*")
	}
	if err == nil {
		err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	if err != nil {
		return f.failed(&outputError{err}, "%v", err)
	}
	f.Remedy, f.Message = "", "writable: "+filepath.Clean(dir)
	return f
}

// deepPrompts are what --deep asks the embedded model for. Each is simple; the model card has the figures for harder ones.
var deepPrompts = []request.Request{
	{Prompt: "a red circle on a blue background", Seed: 42},
	{Prompt: "a green square on a white background", Seed: 1},
	{Prompt: "a yellow triangle on a black background", Seed: 2},
}

// checkNano opens the embedded model, which tells the precision that is chosen here and why, and with deep has it make pictures.
func checkNano(ctx context.Context, env Env, deep bool) []finding {
	f := finding{Check: "precision", Status: checkOK}
	pipe, err := env.Open(ctx, pipeline.Config{Model: pipeline.NanoModel})
	if err != nil {
		return []finding{f.failed(err, "the embedded model does not open: %v", err)}
	}
	defer pipe.Close()
	info := pipe.Info()
	f.Message = fmt.Sprintf("%s: %s", info.Precision, info.PrecisionReason)
	f.Details = []string{fmt.Sprintf("%d threads, flash attention %s", info.Threads, word(info.FlashAttention, "on", "off"))}
	findings := []finding{f}
	if !deep {
		return findings
	}
	// One thread, as in the demo: the model is too small to gain from more.
	small, err := env.Open(ctx, pipeline.Config{Model: pipeline.NanoModel, Threads: 1})
	if err != nil {
		return append(findings, finding{Check: "picture"}.failed(err, "%v", err))
	}
	defer small.Close()
	for _, req := range deepPrompts {
		findings = append(findings, checkPicture(ctx, env, small, req))
	}
	return findings
}

// errWrongPicture is what a picture that does not show its prompt ends the doctor with: the library computes wrongly.
var errWrongPicture = errors.New("a picture does not show what was asked for")

// checkPicture makes one picture and has internal/checker look at it.
func checkPicture(ctx context.Context, env Env, pipe *pipeline.Pipeline, req request.Request) finding {
	f := finding{Check: "picture", Status: checkFail,
		Remedy: "the library computes wrongly on this machine: try --precision exact, rebuild with `make`, and report it with the output of doctor --json"}
	req.NumInferenceSteps = demoSteps
	began := env.Now()
	result, err := pipe.Generate(ctx, req)
	if err != nil {
		return f.failed(err, "%q: %v", req.Prompt, err)
	}
	seconds := env.Now().Sub(began).Round(10 * time.Millisecond).Seconds()
	score, err := checker.Score(result.Images[0], req.Prompt)
	if err != nil {
		return f.failed(err, "%q: %v", req.Prompt, err)
	}
	found := score.Found
	f.Message = fmt.Sprintf("%q: a %s %s on a %s background, in %s", req.Prompt, found.Colour, found.Shape, found.Background,
		progress.Seconds(seconds))
	if !score.OK() {
		f.err = errWrongPicture
		return f
	}
	f.Status, f.Remedy = checkOK, ""
	return f
}
