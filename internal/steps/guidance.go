package steps

import (
	"context"
	"math"

	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// guided evaluates the UNet for a batch and combines the halves of classifier-free guidance. Its buffers are made once for a batch.
type guided struct {
	model     models.Model
	refiner   bool
	watch     Watcher
	inputs    []backend.UNetInput // one of 2N rows (or of N without guidance), or two of N: negative, positive
	output    []float32           // of all rows: negative half first
	guidance  bool
	residuals [][]float32       // of ControlNets, for each input; made when first needed
	loras     []backend.LoRAUse // of this step
}

// newGuided prepares the evaluation of a batch by a model.
func (l Loop) newGuided(b *Batch, m models.Model, refiner bool) *guided {
	g := &guided{model: m, refiner: refiner, watch: l.Watch, guidance: b.lead().encoder(refiner).Now().Negative != nil}
	rows := b.rows(m.Info, refiner)
	if !l.Separate || !g.guidance {
		g.inputs = []backend.UNetInput{unetInput(m.Info.UNet, rows, b.Height, b.Width)}
	} else {
		g.inputs = []backend.UNetInput{unetInput(m.Info.UNet, rows[:b.Len()], b.Height, b.Width),
			unetInput(m.Info.UNet, rows[b.Len():], b.Height, b.Width)}
	}
	g.output = make([]float32, len(rows)*b.Channels*b.Height*b.Width)
	return g
}

// encoder is what encodes the member's texts for the base or the refiner.
func (m *Member) encoder(refiner bool) *conditioning.Encoder {
	if refiner {
		return m.Refiner
	}
	return m.Base
}

// rows returns the embeddings of a batch's pictures in the order of the UNet's batch: the negative ones, then the positive
// ones, as diffusers concatenates them.
func (b *Batch) rows(info backend.ModelInfo, refiner bool) []conditioning.Embedding {
	var negative, positive []conditioning.Embedding
	for _, slot := range b.Slots {
		cond := slot.Member.encoder(refiner).Now()
		sized := func(e conditioning.Embedding, positive bool) conditioning.Embedding {
			if b.second {
				e.SizeIDs = conditioning.SizeIDs(info.UNet.SizeIDs, slot.Member.Texts, positive, true)
			}
			return e
		}
		positive = append(positive, sized(cond.Positive, true))
		if cond.Negative != nil {
			negative = append(negative, sized(*cond.Negative, false))
		}
	}
	return append(negative, positive...)
}

// unetInput allocates the UNet's input for the given rows. Sample and timesteps are still to be filled in.
func unetInput(info backend.UNetInfo, rows []conditioning.Embedding, height, width int) backend.UNetInput {
	n, tokens := len(rows), rows[0].Tokens
	in := backend.UNetInput{
		Sample:    backend.NewTensor(n, info.InChannels, height, width),
		Timesteps: make([]float32, n),
		Context:   backend.NewTensor(n, tokens, info.ContextDim),
		Pooled:    backend.NewTensor(n, info.PooledDim),
		SizeIDs:   backend.NewTensor(n, info.SizeIDs),
	}
	for i, row := range rows {
		copy(in.Context.Data[i*tokens*info.ContextDim:], row.Context)
		copy(in.Pooled.Data[i*info.PooledDim:], row.Pooled)
		copy(in.SizeIDs.Data[i*info.SizeIDs:], row.SizeIDs)
	}
	return in
}

// Native9 reports whether a UNet takes the mask and the masked picture as channels of its input, as inpainting checkpoints do. With
// others the kept part is put back after every step.
func Native9(info backend.ModelInfo) bool { return info.UNet.InChannels == 9 }

// fillSample writes the UNet's sample, once for each half of guidance that in holds: the scaled latents, and for a 9-channel UNet the
// mask and the masked picture's latents after them.
func (g *guided) fillSample(in *backend.UNetInput, b *Batch, scaled []float32) {
	per := len(in.Sample.Data) / in.Sample.Shape[0]
	for row := range in.Sample.Shape[0] {
		i := row % b.Len()
		dst := in.Sample.Data[row*per : (row+1)*per]
		n := copy(dst, b.image(scaled, i))
		if Native9(g.model.Info) {
			n += copy(dst[n:], b.given.mask)
			copy(dst[n:], b.image(b.given.masked, i))
		}
	}
}

// evaluate returns the guided model output of evaluation i for the scaled latents, in the shape of the latents. It is valid until the next
// call.
func (g *guided) evaluate(ctx context.Context, b *Batch, scaled []float32, i int) ([]float32, error) {
	done, timestep := 0, b.run.Timesteps()[i]
	for k := range g.inputs {
		in := &g.inputs[k]
		g.fillSample(in, b, scaled)
		for row := range in.Timesteps {
			in.Timesteps[row] = float32(timestep)
		}
		if err := g.control(ctx, k, b, scaled, i); err != nil {
			return nil, err
		}
		in.LoRAs = g.loras
		n := len(in.Timesteps) * b.Channels * b.Height * b.Width
		if err := g.model.UNet(ctx, *in, g.output[done:done+n]); err != nil {
			return nil, err
		}
		done += n
		g.watch.Evaluated(len(in.Timesteps))
	}
	if !g.guidance {
		return g.output, nil
	}
	half := len(g.output) / 2
	negative, positive := g.output[:half], g.output[half:]
	for i, slot := range b.Slots {
		r := &slot.Member.Request
		n, p := b.image(negative, i), b.image(positive, i)
		applyGuidance(n, p, float32(r.GuidanceScale))
		if r.GuidanceRescale > 0 {
			rescaleGuidance(n, p, float32(r.GuidanceRescale))
		}
	}
	return negative, nil
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
