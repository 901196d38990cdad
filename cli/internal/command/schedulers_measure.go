package command

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	benchmark "github.com/daguerre-go/daguerre/runtime/bench"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// measureOptions are what "schedulers recommend --measure" makes pictures of.
type measureOptions struct {
	model          string
	size           benchmark.Size // 0: the model's
	prompt         string
	seed           int64
	referenceSteps int
}

// referenceScheduler makes the picture that the candidates are held against: with many steps every solver comes to it.
const referenceScheduler = "HeunDiscreteScheduler"

// ownMeasurement is how a candidate fares on the user's own model.
type ownMeasurement struct {
	Label       string   `json:"label"`
	Steps       int      `json:"num_inference_steps"`
	Evaluations int      `json:"evaluations"`
	Error       *float64 `json:"error,omitempty"` // relative L2 distance of the latents from the reference's; none where noise is drawn
	Seconds     float64  `json:"seconds"`         // of the whole picture
}

// ownReport says what was measured, and of what.
type ownReport struct {
	Model          string           `json:"model"`
	Width          int              `json:"width"`
	Height         int              `json:"height"`
	Prompt         string           `json:"prompt"`
	Seed           int64            `json:"seed"`
	ReferenceSteps int              `json:"reference_steps"`
	Candidates     []ownMeasurement `json:"candidates"`
}

// measureOptionsOf reads the flags; nil where nothing is to be measured.
func measureOptionsOf(c *cli.Context) (*measureOptions, error) {
	help := c.Command.HelpName
	if !c.Bool("measure") {
		for _, flag := range []string{"model", "size", "prompt", "seed", "reference-steps"} {
			if c.IsSet(flag) {
				return nil, usagef(help, "--%s says what to measure with; add --measure", flag)
			}
		}
		return nil, nil
	}
	o := &measureOptions{model: c.String("model"), prompt: c.String("prompt"), seed: c.Int64("seed"), referenceSteps: c.Int("reference-steps")}
	if o.model == pipeline.NanoModel && !c.IsSet("prompt") {
		o.prompt = demoPrompt
	}
	if text := c.String("size"); text != "" {
		var err error
		if o.size, err = parseSize(text); err != nil {
			return nil, usagef(help, "--size: %v", err)
		}
	}
	switch {
	case o.model == "":
		return nil, usagef(help, "--measure makes pictures with your model; name it with --model")
	case c.String("distilled") != "":
		return nil, usagef(help, "--measure compares schedulers for ordinary models; a distilled model is run as its authors say")
	case o.referenceSteps < 1 || o.referenceSteps > 1000:
		return nil, usagef(help, "--reference-steps is %d; it must be between 1 and 1000", o.referenceSteps)
	case o.seed < 0:
		return nil, usagef(help, "--seed is %d; it must not be negative", o.seed)
	}
	return o, nil
}

// measure makes a picture with each candidate, recommends the one that comes nearest to a picture of many steps, and says so in the
// reasons. Where the candidates draw noise there is no such picture, and the first stays.
func (o *measureOptions) measure(ctx context.Context, env Env, r *scheduler.Recommendation) (own *ownReport, err error) {
	pipe, err := env.Open(ctx, pipeline.Config{Model: o.model})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := pipe.Close(); err == nil {
			err = closeErr
		}
	}()
	reference, _, err := o.picture(ctx, env, pipe, scheduler.Candidate{Label: "reference, HeunDiscrete", Scheduler: referenceScheduler,
		Steps: o.referenceSteps})
	if err != nil {
		return nil, err
	}
	own = &ownReport{Model: pipeline.ModelName(o.model), Width: reference.Bounds().Dx(), Height: reference.Bounds().Dy(), Prompt: o.prompt,
		Seed: o.seed, ReferenceSteps: o.referenceSteps}
	best := 0
	for i, c := range r.Candidates {
		img, seconds, err := o.picture(ctx, env, pipe, c)
		if err != nil {
			return nil, err
		}
		m := ownMeasurement{Label: c.Label, Steps: c.Steps, Evaluations: c.Evaluations, Seconds: seconds}
		if !c.Stochastic {
			m.Error = new(relativeDistance(img.Latents.Data, reference.Latents.Data))
		}
		own.Candidates = append(own.Candidates, m)
		if least := own.Candidates[best].Error; m.Error != nil && (least == nil || *m.Error < *least) {
			best = i
		}
	}
	choice := r.Candidates[best]
	r.Scheduler, r.Options, r.Steps, r.Evaluations = choice.Scheduler, choice.Options, choice.Steps, choice.Evaluations
	r.Reasons = append(own.reasons(), notMeasured(r.Reasons)...)
	return own, nil
}

// picture makes one picture with a scheduler.
func (o *measureOptions) picture(ctx context.Context, env Env, pipe *pipeline.Pipeline, c scheduler.Candidate) (pipeline.Image, float64,
	error) {
	if err := printTo(env.Stderr, "measuring %s, %d steps\n", c.Label, c.Steps); err != nil {
		return pipeline.Image{}, 0, err
	}
	began := env.Now()
	out, err := pipe.Generate(ctx, request.Request{Prompt: o.prompt, Seed: o.seed, Width: o.size.Width, Height: o.size.Height,
		NumInferenceSteps: c.Steps, Scheduler: c.Scheduler, SchedulerOptions: c.Options.Map()})
	if err != nil {
		return pipeline.Image{}, 0, err
	}
	return out.Images[0], env.Now().Sub(began).Seconds(), nil
}

// relativeDistance is the L2 distance of a from b, relative to b.
func relativeDistance(a, b []float32) float64 {
	var square, whole float64
	for i := range b {
		d := float64(a[i]) - float64(b[i])
		square, whole = square+d*d, whole+float64(b[i])*float64(b[i])
	}
	return math.Sqrt(square / max(whole, math.SmallestNonzeroFloat64))
}

// notMeasured leaves out the figures of the small model.
func notMeasured(reasons []scheduler.Reason) (rest []scheduler.Reason) {
	for _, r := range reasons {
		if r.Source != "measured" {
			rest = append(rest, r)
		}
	}
	return rest
}

// reasons tell the figures, and of what they are.
func (own *ownReport) reasons() (list []scheduler.Reason) {
	add := func(format string, args ...any) {
		list = append(list, scheduler.Reason{Text: fmt.Sprintf(format, args...), Source: "measured on " + own.Model})
	}
	for _, m := range own.Candidates {
		took := (time.Duration(m.Seconds*1000) * time.Millisecond).String()
		if m.Error == nil {
			add("%s with %d steps draws noise, so there is no error; %s a picture", m.Label, m.Steps, took)
			continue
		}
		add("%s with %d steps has an error of %.3f; %s a picture", m.Label, m.Steps, *m.Error, took)
	}
	add("one picture each: %d x %d pixels, seed %d, %q", own.Width, own.Height, own.Seed, strings.TrimSpace(own.Prompt))
	add("the error is the distance of the latents from those of HeunDiscrete with %d steps", own.ReferenceSteps)
	return list
}
