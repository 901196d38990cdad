package steps

import (
	"fmt"
	"math"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/rng"
)

// Start draws what the batch begins with and makes the first latents. It draws in the order of diffusers: the picture's latents,
// the initial noise, the masked picture's latents. native9 says that the UNet takes the mask as channels of its input.
func (b *Batch) Start(native9 bool) error {
	if err := b.draw(native9); err != nil {
		return err
	}
	b.Latents = make([]float32, b.size())
	switch {
	case b.lead().Request.DenoisingStart > 0: // an earlier run left noise in them
		copy(b.Latents, b.given.begin())
	case b.given != nil && !b.given.fromNoise:
		if err := b.run.AddNoise(b.Latents, b.given.begin(), b.noise, 0); err != nil {
			return fmt.Errorf("adding noise to init_image: %w", err)
		}
	default:
		sigma := float32(b.run.InitNoiseSigma())
		for i, v := range b.noise {
			b.Latents[i] = v * sigma
		}
	}
	return nil
}

func (b *Batch) draw(native9 bool) error {
	lead := b.lead()
	switch {
	case !lead.Request.Latents.IsZero():
		b.given = &given{latents: make([]float32, b.size())}
		b.copyGiven(b.given.latents, lead.Request.Latents.Data)
	case lead.Source == nil:
		return b.drawNoise()
	case lead.Source.Mask != nil:
		return b.drawInpaint(native9)
	default:
		b.given = &given{latents: b.sample(lead.Source.Moments)}
	}
	if lead.Request.DenoisingStart > 0 {
		return nil
	}
	return b.drawNoise()
}

// drawNoise makes the initial noise: the given one, or each picture's from its own generator.
func (b *Batch) drawNoise() error {
	b.noise = make([]float32, b.size())
	if data := b.lead().Request.Noise.Data; data != nil {
		b.copyGiven(b.noise, data)
		return nil
	}
	return b.generators.Normal(b.noise)
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
