// Compare measures Daguerre against the stock engine in one run: it makes the same picture with both, in
// turns, and prints a Markdown table of times, memory and how well the pictures agree.
//
//	tools/stock/build.sh
//	go run ./tools/stock/compare --model sdxl.safetensors --rounds 5
//
// Every picture is made by a process of its own. ../README.md says how both are brought to the same
// sampler.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	hardware "github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// options is the command line.
type options struct {
	model            string
	stock, daguerre  string // programs
	stockVariants    string
	daguerreVariants string
	peers            string
	python           string // program that has tools/peers' requirements
	peerCache        string
	pictures         string
	json             string
	rounds           int
	stockRounds      int // 0: all of them
	threads          int
	task             task
	verbose          bool
	keepProjection   bool
	projection       string // file of the transposed text_projection for the stock engine; "" where it is not needed
}

// task is the picture that everyone makes.
type task struct {
	Prompt         string  `json:"prompt"`
	NegativePrompt string  `json:"negative_prompt"`
	Size           int     `json:"size"` // pixels, width and height
	Steps          int     `json:"steps"`
	Guidance       float64 `json:"guidance_scale"`
	Seed           int64   `json:"seed"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		err = nil
	}
	tool.Exit("compare", err)
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.model, "model", "", "checkpoint of SDXL base in one `file` (needed)")
	f.StringVar(&o.stock, "stock", "build/stock/stock", "the stock engine's `program`")
	f.StringVar(&o.daguerre, "daguerre", "bin/daguerre", "Daguerre's `program`")
	f.StringVar(&o.stockVariants, "stock-variants", "f16", "comma-separated `types` of weights, each with +fa for flash attention in the "+
		"UNet and +direct for direct convolutions; none: without the stock engine")
	f.StringVar(&o.daguerreVariants, "daguerre-variants", "auto,f16", "comma-separated `precisions`, or types of weights such as q8_0")
	f.StringVar(&o.peers, "peers", "", "comma-separated other `runtimes` (../../peers), such as "+
		"torch:bfloat16,torch:bfloat16+compile,openvino:bfloat16,openvino:int8")
	f.StringVar(&o.python, "python", "python3", "`program` that runs them")
	f.StringVar(&o.peerCache, "peer-cache", "build/peers", "`folder` for what they keep (11 GB)")
	f.StringVar(&o.pictures, "pictures", "build/stock/pictures", "`folder` for the pictures")
	f.StringVar(&o.json, "json", "", "`file` to write all single measurements to")
	f.IntVar(&o.rounds, "rounds", 3, "how often each variant runs, in turns")
	f.IntVar(&o.stockRounds, "stock-rounds", 0, "`rounds` that the stock engine takes part in, which is slow; 0: all")
	f.IntVar(&o.threads, "threads", 0, "CPU threads for all; 0: what the stock engine takes, the physical cores")
	f.StringVar(&o.task.Prompt, "prompt", "a lighthouse on a cliff in the evening", "without weights, at most 75 tokens")
	f.StringVar(&o.task.NegativePrompt, "negative-prompt", "blurry", "not empty: the two zero an empty one differently")
	f.IntVar(&o.task.Size, "size", 256, "width and height in `pixels`, a multiple of 64")
	f.IntVar(&o.task.Steps, "steps", 4, "denoising steps, one less than a divisor of 999 plus 2: 4, 10, 28, 38")
	f.Float64Var(&o.task.Guidance, "guidance", 5, "guidance scale; above 1 a step is two UNet evaluations")
	f.Int64Var(&o.task.Seed, "seed", 42, "of the noise")
	f.BoolVar(&o.keepProjection, "keep-projection", false, "leave the stock engine to multiply by the transpose of OpenCLIP's "+
		"text_projection (../README.md)")
	f.BoolVar(&o.verbose, "verbose", false, "pass on what the programs write to standard error")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	return o, o.check()
}

func (o options) check() error {
	t := o.task
	switch {
	case o.model == "":
		return errors.New("--model is missing; `daguerre models synth --kind sdxl-base -o sdxl.safetensors` writes one for measurements")
	case o.rounds < 1:
		return fmt.Errorf("--rounds %d: at least 1 is needed", o.rounds)
	case o.stockRounds < 0 || o.stockRounds > o.rounds:
		return fmt.Errorf("--stock-rounds %d: it is 0 to %d, the value of --rounds", o.stockRounds, o.rounds)
	case t.Size < 64 || t.Size%64 != 0:
		return fmt.Errorf("--size %d is not a multiple of 64, to which the stock engine would round it", t.Size)
	case t.Steps < 2 || 999%(t.Steps-1) != 0:
		return fmt.Errorf("--steps %d: the schedules are equal where 999 is a multiple of steps - 1, such as 4, 10 or 28", t.Steps)
	case t.NegativePrompt == "":
		return errors.New("--negative-prompt is empty; the two zero an empty one differently, so that pictures could not be compared")
	case strings.ContainsAny(t.Prompt+t.NegativePrompt, `()[]\`) || strings.Contains(t.Prompt+t.NegativePrompt, "BREAK"):
		return errors.New("the prompts contain weights or BREAK, which the two apply differently; write them without ()[]\\")
	}
	if _, err := os.Stat(o.model); err != nil {
		return fmt.Errorf("--model: %w", err)
	}
	for _, p := range []struct{ flag, path, how string }{{"stock", o.stock, "tools/stock/build.sh"}, {"daguerre", o.daguerre, "make"}} {
		if p.flag == "stock" && o.stockVariants == "none" {
			continue
		}
		if _, err := os.Stat(p.path); err != nil {
			return fmt.Errorf("--%s %s is not there; build it with %s", p.flag, p.path, p.how)
		}
	}
	return nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	build := stockBuildInfo{Threads: max(hardware.Describe().Cores, 1)}
	if o.stockVariants != "none" {
		if build, err = stockBuild(ctx, o.stock); err != nil {
			return err
		}
	}
	if o.threads == 0 {
		o.threads = build.Threads
	}
	if err := os.MkdirAll(o.pictures, 0o755); err != nil {
		return err
	}
	// Daguerre hashes the model once for its pictures' manifests and remembers the sum. Now, it disturbs
	// nothing, and the file is in memory for the first to load it as for the last.
	fmt.Fprintf(stderr, "reading %s\n", o.model)
	if _, err := pipeline.HashFile(ctx, o.model); err != nil {
		return err
	}
	if !o.keepProjection {
		if o.projection, err = writeProjection(o.model, o.pictures); err != nil {
			return err
		}
	}
	variants, err := o.variants()
	if err != nil {
		return err
	}
	before, _ := hardware.LoadAverage()
	r := &report{machine: describeMachine(), build: build, options: o, variants: variants,
		samples: map[int][]sample{}, load: [2]float64{before}}
	for round := range o.rounds {
		for i, v := range variants {
			if !o.takesPart(v, round) {
				continue
			}
			if err := enoughMemory(o.model); err != nil {
				return err
			}
			fmt.Fprintf(stderr, "round %d of %d: %s\n", round+1, o.rounds, v.name)
			s, err := v.run(ctx, o, filepath.Join(o.pictures, fmt.Sprintf("%d-%s.png", i, fileName(v.name))))
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			r.samples[i] = append(r.samples[i], s)
			fmt.Fprintf(stderr, "  steps %.2f s, text %.2f s, decode %.2f s, load %.2f s, %.0f %% of the CPU time it asked for\n",
				s.Steps, s.Text, s.Decode, s.Load, 100*s.share(o.threads))
		}
	}
	r.load[1], _ = hardware.LoadAverage()
	if o.json != "" {
		if err := r.writeJSON(o.json); err != nil {
			return err
		}
	}
	return r.markdown(stdout)
}

// takesPart reports whether a variant runs in a round, counted from 0.
func (o options) takesPart(v variant, round int) bool {
	return !v.stock || o.stockRounds == 0 || round < o.stockRounds
}

var unfit = regexp.MustCompile(`[^a-z0-9_]`)

// fileName makes a variant's name fit for a file.
func fileName(name string) string { return unfit.ReplaceAllString(strings.ToLower(name), "-") }
