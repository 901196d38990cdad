package steps

import (
	"math"

	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// guide combines the halves of guidance in one loop. It keeps what a method remembers from step to step.
type guide struct {
	average  [][]float32 // APG's, for each picture
	negative []float32   // CFG++: the negative half of the last evaluation, in the shape of the latents
}

// combine writes the guided prediction of picture i into its negative half. All of a batch have the same method.
func (g *guide) combine(b *Batch, i int, negative, positive []float32, away []push) {
	r := &b.Slots[i].Member.Request
	scale := float32(r.GuidanceScale)
	switch r.Guidance.Method {
	case request.GuidanceAPG:
		g.project(b, i, negative, positive)
	case request.GuidanceCFGZeroStar:
		alignNegative(negative, positive)
		applyGuidance(negative, positive, scale)
	case request.GuidanceCFGPlusPlus:
		if g.negative == nil {
			g.negative = make([]float32, b.size())
		}
		copy(b.image(g.negative, i), negative)
		applyGuidance(negative, positive, scale)
	default:
		applyGuidance(negative, positive, scale)
	}
	pushAway(negative, positive, away)
	if r.GuidanceRescale > 0 {
		rescaleGuidance(negative, positive, float32(r.GuidanceRescale))
	}
}

// project is adaptive projected guidance (arXiv 2410.02416) as diffusers' AdaptiveProjectedGuidance computes it: a running sum of the
// halves' difference, cut to a length. Its part that is parallel to the positive half counts by eta.
func (g *guide) project(b *Batch, i int, negative, positive []float32) {
	r := &b.Slots[i].Member.Request
	if g.average == nil {
		g.average = make([][]float32, b.Len())
	}
	if g.average[i] == nil {
		g.average[i] = make([]float32, len(negative))
	}
	diff, momentum := g.average[i], float32(r.Guidance.Momentum)
	for k, n := range negative {
		diff[k] = (positive[k] - n) + float32(momentum*diff[k])
	}
	cut := float32(1)
	if most := *r.Guidance.NormThreshold; most > 0 {
		cut = min(1, float32(most)/float32(math.Sqrt(dot(diff, diff))))
	}
	length := max(math.Sqrt(dot(positive, positive)), 1e-12)
	along := 0.0 // of the cut difference, in the direction of the positive half
	for k, p := range positive {
		along += float64(diff[k]*cut) * (float64(p) / length)
	}
	scale, eta := float32(r.GuidanceScale), float32(*r.Guidance.Eta)
	for k, n := range negative {
		d := float64(diff[k] * cut)
		parallel := along * (float64(positive[k]) / length)
		negative[k] = n + float32(scale*(float32(d-parallel)+float32(eta*float32(parallel))))
	}
}

// alignNegative scales the negative half so that it comes as near as possible to the positive one: CFG-Zero* (arXiv 2503.18886), as
// diffusers' ClassifierFreeZeroStarGuidance computes it.
func alignNegative(negative, positive []float32) {
	factor := float32(dot(positive, negative) / (dot(negative, negative) + 1e-8))
	for k := range negative {
		negative[k] *= factor
	}
}

func dot(a, b []float32) (sum float64) {
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

// zeroed reports whether CFG-Zero* leaves out a step of the picture, from 0 over all its loops: the prediction is then zero.
func (b *Batch) zeroed(step int) bool {
	r := &b.lead().Request
	z := r.Guidance.ZeroInitSteps
	return z != nil && step < *z && r.DenoisingStart == 0
}

// advance makes the scheduler's step of evaluation i. CFG++ (arXiv 2406.08070) goes to the next level with the noise of the negative half.
func (b *Batch) advance(g *guide, output []float32, i int) error {
	if g.negative == nil { // plain, or without guidance in this step
		return b.run.Step(b.Latents, output, b.Latents, i, b.generators)
	}
	return scheduler.StepCFGPlusPlus(b.run, b.Latents, output, g.negative, b.Latents, i, b.generators)
}
