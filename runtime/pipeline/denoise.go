package pipeline

import (
	"context"
	"fmt"
	"time"
)

// denoise is the loop over the batch's run: for every evaluation scale the input, ask the expert's UNet, guide, step, and put
// back what a mask keeps.
func (j *job) denoise(ctx context.Context, b *batch, e *expert) error {
	g := j.newGuided(b, e)
	scaled, scratch := make([]float32, len(b.latents)), make([]float32, len(b.latents))
	began := time.Now()
	for i := range b.run.NumEvaluations() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.run.ScaleModelInput(scaled, b.latents, i); err != nil {
			return err
		}
		step := b.stepsDone + b.run.StepOf(i) + 1
		if i == 0 || b.run.StepOf(i) != b.run.StepOf(i-1) {
			changed := false
			for _, member := range j.together() {
				adapted, err := member.adaptText(ctx, j.expertOf(member, e), step-1)
				if err != nil {
					return err
				}
				changed = changed || adapted
			}
			if changed {
				g = j.newGuided(b, e)
			}
			g.loras = j.loraUses(e, step-1)
		}
		output, err := g.evaluate(ctx, j, b, scaled, i)
		if err != nil {
			return fmt.Errorf("step %d of %d: %w", step, j.state.Steps, err)
		}
		last := i+1 == b.run.NumEvaluations()
		ends := last || b.run.StepOf(i+1) != b.run.StepOf(i)
		preview := ends && j.wantsPreview(step, last && step == j.state.Steps)
		if preview {
			if err := b.run.PredOriginalSample(scratch, output, b.latents, i); err != nil {
				return err
			}
			if err := j.preview(ctx, b, scratch); err != nil {
				return err
			}
		}
		if err := b.run.Step(b.latents, output, b.latents, i, b.generators); err != nil {
			return err
		}
		if err := e.keepOutside(b, i, scratch); err != nil {
			return err
		}
		if ends {
			if at := notFinite(b.latents); at >= 0 {
				return fmt.Errorf("step %d of %d: %w (value %d is %v); another precision may help: f32, or bf16 instead of f16",
					step, j.state.Steps, ErrNotFinite, at, b.latents[at])
			}
			j.step(step, time.Since(began))
			began = time.Now()
		}
	}
	b.stepsDone += b.run.NumSteps()
	return nil
}

// notFinite returns the index of the first NaN or infinity, or -1.
func notFinite(x []float32) int {
	for i, v := range x {
		if v-v != 0 {
			return i
		}
	}
	return -1
}
