package steps

import (
	"fmt"
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
