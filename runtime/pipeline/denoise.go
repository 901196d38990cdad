package pipeline

import (
	"context"
	"fmt"
	"time"
)

// denoise is the loop: for every evaluation scale the input, ask the UNet, guide, step, and put back what a mask keeps.
func (j *job) denoise(ctx context.Context, b *batch) error {
	j.beginBatch(b)
	g := j.newGuided(b)
	scaled, scratch := make([]float32, len(b.latents)), make([]float32, len(b.latents))
	began := time.Now()
	for i, t := range b.run.Timesteps() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.run.ScaleModelInput(scaled, b.latents, i); err != nil {
			return err
		}
		output, err := g.evaluate(ctx, j, b, scaled, t)
		if err != nil {
			return fmt.Errorf("step %d of %d: %w", b.run.StepOf(i)+1, b.run.NumSteps(), err)
		}
		last := i+1 == b.run.NumEvaluations()
		ends := last || b.run.StepOf(i+1) != b.run.StepOf(i)
		preview := ends && j.wantsPreview(b.run.StepOf(i)+1, last)
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
		if err := j.keepOutside(b, i, scratch); err != nil {
			return err
		}
		if ends {
			if at := notFinite(b.latents); at >= 0 {
				return fmt.Errorf("step %d of %d: %w (value %d is %v); another precision may help: f32, or bf16 instead of f16",
					b.run.StepOf(i)+1, b.run.NumSteps(), ErrNotFinite, at, b.latents[at])
			}
			j.step(b.run.StepOf(i)+1, time.Since(began))
			began = time.Now()
		}
	}
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
