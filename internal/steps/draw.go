package steps

import (
	"math"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/rng"
)

// drawNoise makes the initial noise: the given one, or each picture's from its own generator.
func (b *Batch) drawNoise() error {
	b.noise = make([]float32, b.size())
	if data := b.lead().Request.Noise.Data; data != nil {
		b.copyGiven(b.noise, data)
		return nil
	}
	return b.generators.Normal(b.noise)
}

// sample draws every picture's latents from the encoder's distribution.
func (b *Batch) sample(moments backend.Tensor) []float32 {
	out := make([]float32, b.size())
	for i := range b.Len() {
		b.sampleImage(i, moments, b.image(out, i))
	}
	return out
}

// sampleImage samples for picture i, as diffusers' retrieve_latents does: mean + exp(clamp(log-variance, -30, 20)/2) * noise, scaled into
// the UNet's range.
func (b *Batch) sampleImage(i int, moments backend.Tensor, part []float32) {
	n := len(part)
	mean, logvar := moments.Data[:n], moments.Data[n:2*n]
	b.generators[i].Normal(part)
	for k := range part {
		std := float32(math.Exp(float64(0.5 * min(max(logvar[k], -30), 20))))
		part[k] = mean[k] + float32(std*part[k])
	}
	b.settings.ScaleLatents(part, b.Channels)
}

// skipDraw advances every generator past n values that diffusers draws and does not use.
func skipDraw(generators rng.Batch, n int) {
	waste := make([]float32, n)
	for _, g := range generators {
		g.Normal(waste)
	}
}

// copyGiven copies each picture's part of a given array: the only one, or its own of one for every picture of the request.
func (b *Batch) copyGiven(dst, given []float32) {
	for i, slot := range b.Slots {
		part := b.image(dst, i)
		from := 0
		if len(given) > len(part) {
			from = slot.Index * len(part)
		}
		copy(part, given[from:])
	}
}
