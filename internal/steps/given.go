package steps

import (
	"github.com/daguerre-go/daguerre/internal/pictures"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// given is what a batch begins with besides noise.
type given struct {
	latents   []float32 // [pictures, Channels, Height, Width], in the UNet's range; nil where nothing needs them
	filled    []float32 // the same, with what the masked part is filled with in the latents; nil: latents
	fromNoise bool      // start from pure noise all the same: inpainting at strength 1
	mask      []float32 // [Height, Width]: 1 repaint, 0 keep, between them for soft masks; nil without a mask
	shown     []float32 // the mask as a 9-channel UNet sees it
	masked    []float32 // latents of the picture with the repainted part greyed; 9-channel UNets only
	soft      bool      // differential diffusion
}

// begin is what the loop begins with.
func (g *given) begin() []float32 {
	if g.filled != nil {
		return g.filled
	}
	return g.latents
}

func newGiven(source *pictures.Source, soft bool) *given {
	g := &given{mask: source.Mask, shown: source.Mask, soft: soft}
	if soft {
		g.shown = make([]float32, len(g.mask))
		for i, m := range g.mask {
			if m > 0 {
				g.shown[i] = 1
			}
		}
	}
	return g
}

// fill fills the masked part of the latents, as A1111's latent noise and latent nothing do.
func (g *given) fill(how string, noise []float32) {
	if how != request.FillLatentNoise && how != request.FillLatentNothing || g.latents == nil {
		return
	}
	g.filled = make([]float32, len(g.latents))
	for i, v := range g.latents {
		m := g.mask[i%len(g.mask)]
		g.filled[i] = float32((1 - m) * v)
		if how == request.FillLatentNoise {
			g.filled[i] += float32(m * noise[i])
		}
	}
}

// progress counts evaluations of a schedule.
type progress struct {
	whole int // of the whole schedule, also where a part of it is made
	done  int // before this loop, or left out by denoising_start
}
