// Command lorabench measures what adapters cost in a denoising step. It compares no adapter, a stack of four, and the same stack with
// weights that change before every second step. The three take turns, so that a slow minute of the machine slows all of them. The cost of a
// change is the time of the step after it against the two steps beside that. It needs libdaguerre (make).
//
//	bin/daguerre models synth --kind sdxl-base --type f16 -o sdxl.safetensors
//	go run ./tools/lorabench -model sdxl.safetensors
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/exp/stats"

	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

type options struct {
	model                            string
	kind                             synth.Kind
	count, rank, size, rounds, steps int
}

// variant is one of the things compared.
type variant struct {
	label   string
	loras   bool
	changes bool
	steps   []float64 // seconds
	ratios  []float64 // each step after a change, to the mean of the two beside it
	read    int64     // bytes read from files while denoising
}

func main() {
	var o options
	flag.StringVar((*string)(&o.kind), "kind", string(synth.KindSDXLLoRA), "kind of the synthesized adapters: sdxl-lora or nano-lora")
	flag.StringVar(&o.model, "model", pipeline.NanoModel, "checkpoint")
	flag.IntVar(&o.count, "count", 4, "adapters in the stack")
	flag.IntVar(&o.rank, "rank", 16, "rank of the adapters")
	flag.IntVar(&o.size, "size", 256, "width and height in pixels")
	flag.IntVar(&o.rounds, "rounds", 3, "turns of the three variants")
	flag.IntVar(&o.steps, "steps", 8, "steps of a turn; the first, which builds graphs, does not count")
	flag.Parse()
	tool.Exit("lorabench", run(context.Background(), o))
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "lorabench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	job := request.Request{Prompt: "a lighthouse in fog", Width: o.size, Height: o.size, NumInferenceSteps: o.steps,
		Scheduler:    "EulerDiscrete",
		DenoisingEnd: 0.999} // no picture is decoded of what has noise left
	stack := job
	for i := range o.count {
		path := filepath.Join(dir, fmt.Sprintf("adapter%d.safetensors", i))
		if err := synth.Write(ctx, path, synth.Options{Kind: o.kind, Rank: o.rank, Seed: uint64(i)}); err != nil {
			return err
		}
		stack.LoRAs = append(stack.LoRAs, lora.Adapter{Path: path, Weight: new(0.5)})
	}
	pipe, err := pipeline.Open(ctx, pipeline.Config{Model: o.model})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pipe.Close()) }()
	variants := []*variant{{label: "without"}, {label: fmt.Sprintf("%d of rank %d", o.count, o.rank), loras: true},
		{label: "weights changed at every other step", loras: true, changes: true}}
	for round := range o.rounds + 1 { // the first warms up
		for _, v := range variants {
			r := job
			if v.loras {
				r = stack
			}
			if err := v.turn(ctx, pipe, r, round > 0); err != nil {
				return err
			}
		}
	}
	report(pipe, o, variants)
	return nil
}

// turn makes one job and keeps its steps' times.
func (v *variant) turn(ctx context.Context, pipe *pipeline.Pipeline, r request.Request, keep bool) error {
	var handle pipeline.LoRAHandle
	var began int64
	var steps []float64 // seconds, from the second on
	_, err := pipe.Generate(ctx, r, pipeline.WithLoRAs(&handle), pipeline.WithProgress(func(p pipeline.Progress) {
		if p.Stage != pipeline.StageDenoise {
			return
		}
		if p.Step > 1 {
			steps = append(steps, p.StepTime.Seconds())
		}
		if p.Step == 1 {
			began, _ = machine.BytesRead()
		}
		if keep && p.Step == p.Steps {
			now, _ := machine.BytesRead()
			v.read += now - began
		}
		if !v.changes || p.Step%2 == 1 || p.Step == p.Steps {
			return
		}
		for i, a := range handle.Stack().Adapters {
			_ = handle.SetUNetWeight(a.Name, 0.1*float64(1+(p.Step+i)%9))
		}
	}))
	if !keep {
		return err
	}
	v.steps = append(v.steps, steps...)
	for i := 1; v.changes && i+1 < len(steps); i += 2 { // steps[1] is the third, which follows the change at the end of the second
		v.ratios = append(v.ratios, 2*steps[i]/(steps[i-1]+steps[i+1]))
	}
	return err
}

func report(pipe *pipeline.Pipeline, o options, variants []*variant) {
	info := pipe.Info()
	fmt.Printf("%s, %s, %d threads, %d x %d px, %d turns of %d steps each\n\n", filepath.Base(o.model), info.Precision, info.Threads, o.size,
		o.size, o.rounds, o.steps)
	tool.Header("adapters", "step, median s", "(lowest)", "against without", "bytes read while denoising")
	none := stats.Median(variants[0].steps)
	for _, v := range variants {
		m := stats.Median(v.steps)
		fmt.Printf("| %s | %.3f | %.3f | %+.1f %% | %d |\n", v.label, m, slices.Min(v.steps), 100*(m/none-1), v.read)
	}
	if ratios := variants[2].ratios; len(ratios) > 0 {
		q := stats.Quantiles(ratios, 0.25, 0.5, 0.75)
		fmt.Printf("\na step after a change against those beside it: median %+.2f %%, middle half %+.2f to %+.2f %%, of %d\n",
			100*(q[1]-1), 100*(q[0]-1), 100*(q[2]-1), len(ratios))
	}
	stats := pipe.LoRAStats()
	fmt.Printf("\nfiles loaded: %d, hits: %d\n", stats.Loads, stats.Hits)
}
