package steps

import (
	"context"
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// evaluate returns the guided model output of evaluation i for the scaled latents, in the shape of the latents. It is valid until the next
// call.
func (g *guided) evaluate(ctx context.Context, b *Batch, scaled []float32, i int) ([]float32, error) {
	if err := g.ask(ctx, b, scaled, i); err != nil {
		return nil, err
	}
	return g.combine(b, i)
}

// ask evaluates the UNet for all rows, into g.output.
func (g *guided) ask(ctx context.Context, b *Batch, scaled []float32, i int) error {
	if g.tiles != nil {
		return g.askTiles(ctx, b, scaled, i)
	}
	return g.askWhole(ctx, b, scaled, i, g.output)
}

// askWhole evaluates the UNet for all rows at once, of a batch that is one tile of it or the whole.
func (g *guided) askWhole(ctx context.Context, b *Batch, scaled []float32, i int, output []float32) error {
	done, timestep := 0, b.run.Timesteps()[i]
	for k := range g.inputs {
		in := &g.inputs[k]
		g.fillSample(in, b, scaled)
		for row := range in.Timesteps {
			in.Timesteps[row] = float32(timestep)
		}
		g.adapters(k, b, i)
		g.xs(k, b, i)
		if g.regions != nil {
			in.Regions = g.regions[k].at(b.at)
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
		if err := g.model.UNet(ctx, *in, output[done:done+n]); err != nil {
			return err
		}
		done += n
		g.watch.Evaluated(len(in.Timesteps))
	}
	return nil
}

// askTiles is ask, tile by tile.
func (g *guided) askTiles(ctx context.Context, b *Batch, scaled []float32, i int) error {
	d := g.tiles
	cells := d.height * d.width
	sample := make([]float32, len(scaled)/(b.Height*b.Width)*cells)
	values := make([]float32, len(g.output)/(b.Height*b.Width)*cells)
	clear(g.output)
	for k := range d.at {
		d.cut(sample, scaled, k, b.Height, b.Width)
		if err := g.askWhole(ctx, b.tile(d, k), sample, i, values); err != nil {
			return err
		}
		d.add(g.output, values, k, b.Height, b.Width)
	}
	d.divide(g.output)
	return nil
}

// combine makes the guided output of what was asked in evaluation i, in its place.
func (g *guided) combine(b *Batch, i int) ([]float32, error) {
	per := b.size()
	for at, slot := range b.Slots {
		if shares := b.sharesOf(slot.Member); shares != nil && !b.attends() {
			joinRegions(g.positives(b, at), shares)
		}
	}
	if !g.guidance {
		g.guide.negative = nil
		for k := range b.Slots[:len(b.Slots)*min(g.perturbed.kinds(), 1)] {
			p := b.image(g.output[:per], k)
			pushAway(p, slices.Clone(p), g.pushes(b, k, i))
		}
		return g.output[:per], nil
	}
	negative, positive := g.output[:per], g.output[per:2*per]
	for at, slot := range b.Slots {
		n, p := b.image(negative, at), b.image(positive, at)
		if parts := g.positives(b, at); len(parts) > 1 && len(slot.Member.Request.Regions) == 0 {
			for k, w := range slot.Member.encoder(g.refiner).Now().Weights {
				joinPart(p, n, parts[k], w, k == 0)
			}
		}
		g.guide.combine(b, at, n, p, g.pushes(b, at, i))
	}
	return negative, nil
}

// positives are the outputs of the rows of a picture's positive half; none where the negative half is alone.
func (g *guided) positives(b *Batch, picture int) (out [][]float32) {
	per, first := b.size(), 0
	if g.guidance {
		first = per
	}
	for k := range g.parts {
		if from := first + k*per; from < len(g.output) {
			out = append(out, b.image(g.output[from:from+per], picture))
		}
	}
	return out
}

// pushes lists those of a picture in an evaluation.
func (g *guided) pushes(b *Batch, picture, evaluation int) (out []push) {
	m := b.Slots[picture].Member
	at := len(g.output) - g.perturbed.kinds()*b.size()
	next := func() []float32 {
		part := b.image(g.output[at:at+b.size()], picture)
		at += b.size()
		return part
	}
	if g.perturbed.identity {
		out = append(out, push{b.pagScale(m, evaluation), next()})
	}
	if g.perturbed.blurred {
		out = append(out, push{float32(m.Request.SEG.Scale), next()})
	}
	return out
}
