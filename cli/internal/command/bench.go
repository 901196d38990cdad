package command

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
	benchmark "github.com/daguerre-go/daguerre/runtime/bench"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// The ways to come by weights of another type.
const (
	viaConvert = "convert" // as models convert writes them, from a file
	viaLoad    = "load"    // while the model is opened
)

// benchSynthetic are the models that can be made up.
var benchSynthetic = []string{string(synth.KindSDXLBase), string(synth.KindNano)}

// Defaults of bench: the nano model's are chosen so that all is done within a minute, also where it is slow.
const (
	benchNanoSteps  = 8
	benchNanoImages = 2
	benchNanoRounds = 5
	benchNanoTime   = 25 * time.Second
	benchSteps      = 8
	benchRounds     = 3
	benchPrompt     = "a lighthouse on a cliff in fog, oil painting"
)

var (
	benchNanoTypes = []string{"f32", "f16", "q8_0", "q4_k"}
	benchTypes     = []string{benchmark.FileType, "q8_0", "q5_k", "q4_k"}
)

// benchOptions is what bench is asked to do.
type benchOptions struct {
	models                         []string
	synthetic                      string
	types, devices, schedulers     []string
	reuse                          []string
	sizes                          []benchmark.Size
	batches                        []int
	steps, images, rounds, warmup  int
	threads                        int
	guidance                       float64
	prompt                         string
	seed                           int64
	precision, flash, via, workDir string
	maxTime                        time.Duration
	check, across                  bool
	limits                         benchmark.Limits
	json, csv, markdown, html      string
	quiet                          bool
}

// benchOptionsOf reads and checks the flags; nothing is opened.
func benchOptionsOf(c *cli.Context) (benchOptions, error) {
	help := c.Command.HelpName
	o := benchOptions{models: c.StringSlice("model"), synthetic: c.String("synthetic"), types: list(c.String("types")),
		devices: list(c.String("device")),
		steps:   c.Int("steps"), images: c.Int("images"), rounds: c.Int("rounds"), warmup: c.Int("warmup"), threads: c.Int("threads"),
		guidance: c.Float64("guidance-scale"),
		prompt:   c.String("prompt"), seed: c.Int64("seed"), precision: c.String("precision"), flash: c.String("flash-attention"),
		via:     c.String("quantize"),
		workDir: c.String("work-dir"), maxTime: c.Duration("max-time"), check: c.Bool("check"), across: c.Bool("across-models"),
		json: c.String("json"), csv: c.String("csv"), markdown: c.String("markdown"), html: c.String("html"), quiet: c.Bool("quiet")}
	if err := o.readLists(c); err != nil {
		return o, err
	}
	for _, f := range []struct {
		flag  string
		value int
	}{{"steps", o.steps}, {"images", o.images}, {"rounds", o.rounds}} {
		if f.value < 0 || f.value == 0 && c.IsSet(f.flag) {
			return o, usagef(help, "--%s is %d; it must be at least 1", f.flag, f.value)
		}
	}
	if o.warmup < 0 || o.threads < 0 || o.maxTime < 0 || o.limits.PSNR < 0 || o.seed < 0 {
		return o, usagef(help, "--warmup, --threads, --max-time, --min-psnr and --seed must not be negative")
	}
	if len(o.models) > 0 && o.synthetic != "" {
		return o, usagef(help, "--model and --synthetic exclude each other")
	}
	for _, f := range []struct {
		flag, value string
		known       []string
	}{{"synthetic", o.synthetic, append([]string{""}, benchSynthetic...)}, {"quantize", o.via, []string{viaConvert, viaLoad}},
		{"precision", o.precision, append([]string{""}, strs(backend.Precisions)...)},
		{"flash-attention", o.flash, []string{"", "auto", "on", "off"}}} {
		if err := oneOf(help, f.flag, f.value, f.known); err != nil {
			return o, err
		}
	}
	return o, o.readLimits(c)
}

// readLists reads the flags that take several values.
func (o *benchOptions) readLists(c *cli.Context) error {
	help := c.Command.HelpName
	known := append([]string{benchmark.FileType}, strs(slices.DeleteFunc(slices.Clone(backend.Types),
		func(t backend.Type) bool { return t == backend.TypeAuto }))...)
	for i, t := range o.types {
		o.types[i] = strings.ToLower(t)
		if err := oneOf(help, "types", o.types[i], known); err != nil {
			return err
		}
	}
	for _, text := range list(c.String("size")) {
		size, err := parseSize(text)
		if err != nil {
			return usagef(help, "--size: %v", err)
		}
		o.sizes = append(o.sizes, size)
	}
	for _, text := range list(c.String("batch")) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > request.MaxImages {
			return usagef(help, "--batch: %q is no number from 1 to %d", words.Clip(text), request.MaxImages)
		}
		o.batches = append(o.batches, n)
	}
	for _, text := range list(c.String("scheduler")) {
		if _, _, err := scheduler.Resolve(text); err != nil {
			return usagef(help, "--scheduler: %s", ofScheduler(err))
		}
		o.schedulers = append(o.schedulers, text)
	}
	if texts := list(c.String("reuse")); len(texts) > 0 {
		o.reuse = []string{""}
		for _, text := range texts {
			if err := benchmark.ReadReuse(text, &request.Request{}); err != nil {
				return usagef(help, "--reuse: %v", err)
			}
			o.reuse = append(o.reuse, text)
		}
	}
	for _, f := range []struct {
		flag string
		n    int
	}{{"types", len(o.types)}, {"size", len(o.sizes)}, {"batch", len(o.batches)}, {"device", len(o.devices)}, {"scheduler",
		len(o.schedulers)}} {
		if f.n == 0 && c.IsSet(f.flag) {
			return usagef(help, "--%s is empty", f.flag)
		}
	}
	return nil
}

func (o *benchOptions) readLimits(c *cli.Context) error {
	amount, err := request.ParseAmount(c.String("memory-limit"))
	if err != nil {
		return usagef(c.Command.HelpName, "--memory-limit: %v", err)
	}
	o.limits = benchmark.Limits{Memory: amount.Of(benchmark.DescribeMachine().MemoryBytes), PSNR: c.Float64("min-psnr")}
	if o.limits.PSNR < 0 {
		return usagef(c.Command.HelpName, "--min-psnr must not be negative")
	}
	outputs := map[string]bool{}
	for _, path := range o.outputs() {
		if path != "" && outputs[path] {
			return usagef(c.Command.HelpName, "two reports would be written to %s", path)
		}
		outputs[path] = true
	}
	return nil
}

// outputs are the files of the reports, or what stands for none.
func (o benchOptions) outputs() []string { return []string{o.json, o.csv, o.markdown, o.html} }

// list splits a flag's value at commas.
func list(text string) []string {
	var out []string
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// parseSize reads "1024" or "1216x832", width before height.
func parseSize(text string) (benchmark.Size, error) {
	w, h, both := strings.Cut(strings.ToLower(text), "x")
	if !both {
		h = w
	}
	width, err := strconv.Atoi(w)
	height, err2 := strconv.Atoi(h)
	if err := errors.Join(err, err2); err != nil || width < 8 || height < 8 || width%8 != 0 || height%8 != 0 {
		return benchmark.Size{}, fmt.Errorf("%q is no size; give multiples of 8 as 1024 or 1216x832", words.Clip(text))
	}
	return benchmark.Size{Width: width, Height: height}, nil
}

// oneOf refuses a value that is not known, with the nearest that is.
func oneOf(command, flag, value string, known []string) error {
	if slices.Contains(known, value) {
		return nil
	}
	shown := slices.DeleteFunc(slices.Clone(known), func(s string) bool { return s == "" })
	return usagef(command, "--%s: %q is unknown%s; known are %s", flag, words.Clip(value), words.DidYouMean(value, shown),
		strings.Join(shown, ", "))
}

// nano reports whether the embedded model alone is measured.
func (o benchOptions) nano() bool {
	return o.synthetic == "" && !slices.ContainsFunc(o.models, func(m string) bool { return m != pipeline.NanoModel })
}

// fill puts defaults in the place of what was not given.
func (o *benchOptions) fill() {
	if len(o.models) == 0 && o.synthetic == "" {
		o.models = []string{pipeline.NanoModel}
	}
	types := benchTypes
	if o.nano() {
		types = benchNanoTypes
		o.steps, o.images, o.rounds = cmp.Or(o.steps, benchNanoSteps), cmp.Or(o.images, benchNanoImages), cmp.Or(o.rounds, benchNanoRounds)
		o.maxTime, o.threads = cmp.Or(o.maxTime, benchNanoTime), cmp.Or(o.threads, 1)
		o.check = o.check || o.prompt == ""
	}
	if len(o.types) == 0 {
		o.types = types
	}
	o.steps, o.images, o.rounds = cmp.Or(o.steps, benchSteps), cmp.Or(o.images, 1), cmp.Or(o.rounds, benchRounds)
}

// prompts are those of a session. Checked ones come with their own seeds.
func (o benchOptions) prompts() []benchmark.Prompt {
	out := make([]benchmark.Prompt, o.images)
	apart := int64(slices.Max(o.batches)) // a batch takes as many seeds
	held := checker.HeldOut()
	for i := range out {
		switch {
		case o.prompt != "":
			out[i] = benchmark.Prompt{Prompt: o.prompt, Seed: o.seed + int64(i)*apart}
		case o.check:
			p := held[i%len(held)]
			out[i] = benchmark.Prompt{Prompt: p.Prompt, Seed: p.Seed + int64(i/len(held))}
		default:
			out[i] = benchmark.Prompt{Prompt: benchPrompt, Seed: o.seed + int64(i)*apart}
		}
	}
	return out
}
