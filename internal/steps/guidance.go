package steps

import (
	"context"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// evaluate returns the guided model output of evaluation i for the scaled latents, in the shape of the latents. It is valid until the next
// call.
func (g *guided) evaluate(ctx context.Context, b *Batch, scaled []float32, i int) ([]float32, error) {
	if err := g.ask(ctx, b, scaled, i); err != nil {
		return nil, err
	}
	return g.combine(b)
}

// ask evaluates the UNet for all rows, into g.output.
func (g *guided) ask(ctx context.Context, b *Batch, scaled []float32, i int) error {
	done, timestep := 0, b.run.Timesteps()[i]
	for k := range g.inputs {
		in := &g.inputs[k]
		g.fillSample(in, b, scaled)
		for row := range in.Timesteps {
			in.Timesteps[row] = float32(timestep)
		}
		if err := g.control(ctx, k, b, scaled, i); err != nil {
			return err
		}
		in.LoRAs, in.Kept = g.loras, backend.Kept{}
		if g.kept != nil {
			in.Kept = g.kept[k]
		}
		in.Pictures = g.pictures(k, b, i)
		n := len(in.Timesteps) * b.Channels * b.Height * b.Width
		if err := g.model.UNet(ctx, *in, g.output[done:done+n]); err != nil {
			return err
		}
		done += n
		g.watch.Evaluated(len(in.Timesteps))
	}
	return nil
}

// combine makes the guided output of what was asked, in its place.
func (g *guided) combine(b *Batch) ([]float32, error) {
	if !g.guidance {
		return g.output, nil
	}
	per := len(g.output) / (1 + g.parts)
	negative, positive := g.output[:per], g.output[per:2*per]
	for i, slot := range b.Slots {
		n, p := b.image(negative, i), b.image(positive, i)
		if weights := slot.Member.encoder(g.refiner).Now().Weights; g.parts > 1 {
			for k, w := range weights {
				joinPart(p, n, b.image(g.output[(1+k)*per:(2+k)*per], i), w, k == 0)
			}
		}
		g.guide.combine(b, i, n, p)
	}
	return negative, nil
}
