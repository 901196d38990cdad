package steps

import (
	"context"
	"math"

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

// joinPart adds up the prompts that AND joins, into the first one's prediction: negative + sum of weight * (part - negative), which is
// composable diffusion (arXiv 2206.01714) as A1111 has it. With guidance the sum is scaled as a whole.
func joinPart(sum, negative, part []float32, weight float32, first bool) {
	for i, n := range negative {
		d := float32(weight * (part[i] - n))
		if first {
			sum[i] = n + d
		} else {
			sum[i] += d
		}
	}
}

// applyGuidance is classifier-free guidance (arXiv 2207.12598) as diffusers writes it:
// negative + scale * (positive - negative), into negative.
func applyGuidance(negative, positive []float32, scale float32) {
	for i, n := range negative {
		negative[i] = n + float32(scale*(positive[i]-n))
	}
}

// rescaleGuidance brings one picture's guided prediction back to the standard deviation of the positive
// one, by the factor phi: section 3.4 of arXiv 2305.08891, "Common Diffusion Noise Schedules and Sample
// Steps are Flawed", and rescale_noise_cfg of diffusers.
func rescaleGuidance(guided, positive []float32, phi float32) {
	sg, sp := deviation(guided), deviation(positive)
	if sg == 0 {
		return
	}
	factor := float32(sp) / float32(sg)
	for i, v := range guided {
		guided[i] = float32(phi*float32(v*factor)) + float32((1-phi)*v)
	}
}

// deviation is the standard deviation with Bessel's correction, as torch.std.
func deviation(x []float32) float64 {
	if len(x) < 2 {
		return 0
	}
	var mean, square float64
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	for _, v := range x {
		square += (float64(v) - mean) * (float64(v) - mean)
	}
	return math.Sqrt(square / float64(len(x)-1))
}
