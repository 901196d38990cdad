package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/pictures"
)

// ErrNotFinite is matched by the error of latents that became NaN or infinite.
var ErrNotFinite = errors.New("the latents are not finite")

// Loop denoises batches.
type Loop struct {
	Separate bool // the halves of guidance are evaluated one after the other
	Watch    Watcher
}

// Denoise runs the batch's loop on a model's UNet: for every evaluation it scales the input, asks the UNet, guides, steps, and puts back
// what a mask keeps. refiner says that the model is the refiner. The conditioning of every member is made.
func (l Loop) Denoise(ctx context.Context, b *Batch, m models.Model, refiner bool) (err error) {
	b.residuals = newResiduals(m, b.nets())
	b.blocks = &blocks{}
	defer func() { err = errors.Join(err, b.residuals.close()) }()
	e := &evaluator{separate: l.Separate, watch: l.Watch, how: &guide{}, b: b, model: m, refiner: refiner}
	defer e.close()
	steps := b.lead().Steps
	scaled, scratch := make([]float32, len(b.Latents)), make([]float32, len(b.Latents))
	began := time.Now()
	for i := range b.run.NumEvaluations() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.run.ScaleModelInput(scaled, b.Latents, i); err != nil {
			return err
		}
		step := b.stepsDone + b.run.StepOf(i) + 1
		if i == 0 || b.run.StepOf(i) != b.run.StepOf(i-1) {
			changed, err := b.condition(ctx, refiner, step-1)
			if err != nil {
				return err
			}
			if changed {
				l.Watch.Conditioned()
				e.restart()
			}
			if a := b.lead().Adapters; a != nil && !refiner { // a refiner has other modules
				e.loras = a.Uses(step-1, steps)
			}
		}
		output, err := e.evaluate(ctx, scaled, i)
		if err != nil {
			return fmt.Errorf("step %d of %d: %w", step, steps, err)
		}
		last := i+1 == b.run.NumEvaluations()
		ends := last || b.run.StepOf(i+1) != b.run.StepOf(i)
		if ends && l.Watch.WantsPreview(step, last && step == steps) {
			if err := b.run.PredOriginalSample(scratch, output, b.Latents, i); err != nil {
				return err
			}
			if err := l.Watch.Preview(ctx, b, scratch); err != nil {
				return err
			}
		}
		if err := b.advance(e.how, output, i); err != nil {
			return err
		}
		if err := b.keepOutside(i, scratch, m); err != nil {
			return err
		}
		if !ends {
			continue
		}
		if at := pictures.NotFinite(b.Latents); at >= 0 {
			if err := b.damage(ctx, m); err != nil {
				return fmt.Errorf("step %d of %d: %w: %w", step, steps, ErrNotFinite, err)
			}
			return fmt.Errorf("step %d of %d: %w (value %d is %v); another precision may help: f32, or bf16 instead of f16",
				step, steps, ErrNotFinite, at, b.Latents[at])
		}
		l.Watch.Step(step, time.Since(began))
		began = time.Now()
	}
	b.stepsDone += b.run.NumSteps()
	b.soft.done += b.run.NumEvaluations()
	return nil
}

// damage looks for the reason of latents that are not finite: an error that names a damaged weight, or nil.
func (b *Batch) damage(ctx context.Context, m models.Model) error {
	if err := m.Damage(ctx, "text_encoder", "text_encoder_2", "unet"); err != nil {
		return err
	}
	for _, member := range b.Members {
		for _, c := range member.Controls {
			if err := c.net.Damage(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// condition brings the members' conditioning to a step, from 0, and reports whether any changed.
func (b *Batch) condition(ctx context.Context, refiner bool, step int) (changed bool, err error) {
	for _, m := range b.Members {
		_, own, err := m.encoder(refiner).At(ctx, step, m.Steps)
		if err != nil {
			return false, err
		}
		changed = changed || own
	}
	return changed, nil
}

// CheckTokens refuses to compute texts of different lengths together.
func (b *Batch) CheckTokens(refiner bool) error {
	first := b.lead().encoder(refiner).Now().Tokens()
	for _, m := range b.Members[1:] {
		if n := m.encoder(refiner).Now().Tokens(); n != first {
			return fmt.Errorf("prompts of %d and %d tokens in one batch", first, n)
		}
	}
	return nil
}
