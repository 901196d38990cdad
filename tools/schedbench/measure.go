package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/checker"
	"golang.org/x/exp/stats"

	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// The plan of the measurement. The sweep's prompts are the held-out ones after those that check the recommended steps.
const (
	checkPrompts     = 40
	sweepPrompts     = 8
	referencePrompts = 4 // the first of the sweep's
	referenceSteps   = 1000
	seedSteps        = 20
	seedCount        = 8      // seeds of each sweep prompt
	seedOffset       = 100003 // from one seed of a prompt to the next
	distilledSteps   = 8      // of LCM and TCD: what their papers use at most
	goodError        = 0.10
	stochasticSteps  = 20
)

var stepCounts = []int{5, 10, 20, 40}

var rule = fmt.Sprintf("The recommended steps are the fewest of %v at which every sweep picture has the right colour and background. "+
	"Deterministic schedulers must also have a latent error of at most %g, and stochastic ones need %d steps or more. If there are no such "+
	"steps, those with the most right pictures are recommended, and of those the fewest. Consistency samplers have %d", stepCounts, goodError,
	stochasticSteps, distilledSteps)

var stepLatents = []int{1, 4, 128, 128}

// result is one subject's file: its entry, and the database's head.
type result struct {
	Run   scheduler.Database        `json:"run"`
	Entry scheduler.Characteristics `json:"entry"`
}

// bench is an open model with the references.
type bench struct {
	pipe      *pipeline.Pipeline
	head      scheduler.Database
	sweep     []checker.Prompt
	check     []checker.Prompt
	reference [][]float32 // by the first sweep prompts
}

func measureAll(ctx context.Context, dir string, k, n int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	pipe, err := pipeline.Open(ctx, pipeline.Config{Model: pipeline.NanoModel, Threads: 1})
	if err != nil {
		return err
	}
	defer pipe.Close()
	prompts := checker.HeldOut()
	b := &bench{pipe: pipe, check: prompts[:checkPrompts], sweep: prompts[checkPrompts:][:sweepPrompts]}
	if err := b.begin(ctx); err != nil {
		return err
	}
	for i, s := range subjects() {
		path := resultFile(dir, s.label)
		if _, err := os.Stat(path); err == nil || i%n != k {
			continue
		}
		began := time.Now()
		entry, err := b.measure(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.label, err)
		}
		if err := tool.WriteJSON(path, result{b.head, entry}); err != nil {
			return err
		}
		r := entry.Recommended
		fmt.Printf("%-36s %3d steps: %d of %d right, %v\n", s.label, r.Steps, r.Right, r.Pictures, time.Since(began).Round(time.Second))
	}
	return nil
}

// begin makes the references: the probability-flow ODE by Heun's method, and once more with half the steps to see how
// far it has converged.
func (b *bench) begin(ctx context.Context) error {
	prepared, err := b.pipe.Prepare(request.Request{Prompt: request.NoPrompt})
	if err != nil {
		return err
	}
	b.head = scheduler.Database{Command: "go run ./tools/schedbench -out FOLDER, then -merge", Model: "nano-base",
		ModelSHA256: nano.BaseSHA256(), Precision: string(b.pipe.Info().Precision), Threads: 1, GuidanceScale: prepared.GuidanceScale,
		SweepPrompts: sweepPrompts, CheckPrompts: checkPrompts, StepLatents: stepLatents, Rule: rule,
		Reference: fmt.Sprintf("HeunDiscrete, %d steps, from the same noise, %d prompts", referenceSteps, referencePrompts)}
	heun := subject{name: "HeunDiscreteScheduler"}
	var sum float64
	for _, p := range b.sweep[:referencePrompts] {
		var latents [][]float32
		for _, steps := range []int{referenceSteps, referenceSteps / 2} {
			img, err := b.picture(ctx, heun, p, steps)
			if err != nil {
				return err
			}
			latents = append(latents, img.Latents.Data)
		}
		b.reference = append(b.reference, latents[0])
		sum += distance(latents[1], latents[0])
	}
	b.head.ReferenceError = round(sum / referencePrompts)
	return nil
}

func (b *bench) picture(ctx context.Context, s subject, p checker.Prompt, steps int) (pipeline.Image, error) {
	out, err := b.pipe.Generate(ctx, request.Request{Prompt: p.Prompt, Seed: p.Seed, NumInferenceSteps: steps, Scheduler: s.name,
		SchedulerOptions: s.options.Map()})
	if err != nil {
		return pipeline.Image{}, err
	}
	return out.Images[0], nil
}

func (b *bench) measure(ctx context.Context, s subject) (scheduler.Characteristics, error) {
	c := scheduler.Characteristics{Scheduler: s.name, Label: s.label, Options: s.options, Needs: s.needs, SeedSteps: seedSteps}
	sched, err := scheduler.New(s.name, scheduler.SDXLDefaults().With(s.options))
	if err != nil {
		return c, err
	}
	probe, err := sched.NewRun(scheduler.RunOptions{NumInferenceSteps: seedSteps})
	if err != nil {
		return c, err
	}
	c.Stochastic = probe.Stochastic()
	var atSeedSteps [][]float32
	for _, steps := range stepCounts {
		m, latents, err := b.pictures(ctx, s, sched, b.sweep, steps)
		if err != nil {
			return c, err
		}
		if !c.Stochastic {
			var sum float64
			for i, r := range b.reference {
				sum += distance(latents[i], r)
			}
			m.Error = new(round(sum / float64(len(b.reference))))
		}
		if steps == seedSteps {
			atSeedSteps = latents
			c.SeedRight = []int{m.Right}
		}
		c.Steps = append(c.Steps, m)
	}
	if c.Recommended, _, err = b.pictures(ctx, s, sched, b.check, recommendedSteps(c)); err != nil {
		return c, err
	}
	if err := b.seeds(ctx, s, sched, &c, atSeedSteps); err != nil {
		return c, err
	}
	c.StepMicroseconds, err = stepTime(sched)
	return c, err
}

// pictures makes one picture of each prompt and looks at it.
func (b *bench) pictures(ctx context.Context, s subject, sched scheduler.Scheduler, prompts []checker.Prompt,
	steps int) (scheduler.Measurement, [][]float32, error) {
	m := scheduler.Measurement{Steps: steps}
	run, err := sched.NewRun(scheduler.RunOptions{NumInferenceSteps: steps})
	if err != nil {
		return m, nil, err
	}
	m.Evaluations = run.NumEvaluations()
	var latents [][]float32
	var sum checker.Summary
	for _, p := range prompts {
		img, err := b.picture(ctx, s, p, steps)
		if err != nil {
			return m, nil, err
		}
		latents = append(latents, img.Latents.Data)
		r, err := checker.Score(img, p.Prompt)
		if err != nil {
			return m, nil, err
		}
		sum.Add(r)
		if r.Colour && r.Background {
			m.Right++
		}
	}
	m.Pictures, m.Colour, m.Background, m.All = sum.N, sum.Colour, sum.Background, sum.All
	return m, latents, nil
}

// seeds makes the sweep's pictures again with other seeds, and compares every two seeds of a prompt.
func (b *bench) seeds(ctx context.Context, s subject, sched scheduler.Scheduler, c *scheduler.Characteristics, first [][]float32) error {
	bySeed := [][][]float32{first}
	prompts := slices.Clone(b.sweep)
	for range seedCount - 1 {
		for i := range prompts {
			prompts[i].Seed += seedOffset
		}
		m, latents, err := b.pictures(ctx, s, sched, prompts, seedSteps)
		if err != nil {
			return err
		}
		c.SeedRight = append(c.SeedRight, m.Right)
		bySeed = append(bySeed, latents)
	}
	var sum float64
	pairs := 0
	for j := range bySeed {
		for k := range j {
			for i := range b.sweep {
				sum += spread(bySeed[j][i], bySeed[k][i])
				pairs++
			}
		}
	}
	c.SeedSpread = round(sum / float64(pairs))
	return nil
}

// recommendedSteps is rule.
func recommendedSteps(c scheduler.Characteristics) int {
	if c.Needs == scheduler.NeedsDistilled {
		return distilledSteps
	}
	best := c.Steps[0]
	for _, m := range c.Steps {
		if c.Stochastic && m.Steps < stochasticSteps {
			continue
		}
		if m.Right == m.Pictures && (m.Error == nil || *m.Error <= goodError) {
			return m.Steps
		}
		if m.Right > best.Right || best.Steps < stochasticSteps && c.Stochastic {
			best = m
		}
	}
	return best.Steps
}

// stepTime is the median time of Step over a run, in microseconds, on one 1024 x 1024 picture's latents.
func stepTime(sched scheduler.Scheduler) (float64, error) {
	run, err := sched.NewRun(scheduler.RunOptions{NumInferenceSteps: 25})
	if err != nil {
		return 0, err
	}
	n := 1
	for _, d := range stepLatents {
		n *= d
	}
	sample, output := make([]float32, n), make([]float32, n)
	for i := range sample {
		sample[i], output[i] = float32(math.Sin(float64(i))), float32(math.Cos(float64(3*i)))
	}
	noise := scheduler.NoiseFunc(func([]float32) error { return nil }) // drawing is not Step's work
	var times []float64
	for range 3 {
		for i := range run.NumEvaluations() {
			began := time.Now()
			if err := run.Step(sample, output, sample, i, noise); err != nil {
				return 0, err
			}
			times = append(times, float64(time.Since(began).Nanoseconds())/1000)
		}
	}
	return math.Round(stats.Median(times)), nil
}

// distance is |a-b| / |b|.
func distance(a, b []float32) float64 {
	var d float64
	for i := range b {
		x := float64(a[i]) - float64(b[i])
		d += x * x
	}
	return math.Sqrt(d) / norm(b)
}

// spread is |a-b| over the mean of |a| and |b|.
func spread(a, b []float32) float64 {
	x, y := norm(a), norm(b)
	return distance(a, b) * y / ((x + y) / 2)
}

func norm(a []float32) float64 {
	var sum float64
	for _, x := range a {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// round keeps four digits after the point: the rest is noise.
func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }
