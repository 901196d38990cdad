package steps

import (
	"context"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Watcher is told of what a loop does, from the loop's goroutine.
type Watcher interface {
	// Conditioned tells that from the next step on other texts count.
	Conditioned()
	// Step ends a step, counted from 1 over all loops of the batch, which took so long.
	Step(step int, took time.Duration)
	// Evaluated counts rows that the UNet was asked for.
	Evaluated(rows int)
	// WantsPreview reports whether the step that is about to end gets a preview. last says that it is the batch's last.
	WantsPreview(step int, last bool) bool
	// Preview is given the original latents that the model expects, in the shape of Batch.Latents.
	Preview(ctx context.Context, b *Batch, x0 []float32) error
}

// guided evaluates the UNet for a batch and combines the halves of classifier-free guidance. Its buffers are made once for a batch.
type guided struct {
	model     models.Model
	refiner   bool
	watch     Watcher
	inputs    []backend.UNetInput // one of all rows, or one for each N of them
	output    []float32           // of all rows: negative half first
	parts     int                 // of the positive half, that AND joins: each has N rows
	guidance  bool
	loras     []backend.LoRAUse // of this step
	guide     *guide            // of this loop
	kept      []backend.Kept    // for each input: what the evaluation keeps or reuses; nil: nothing
	perturbed perturbed
	tiles     *tiles        // nil: the UNet sees the whole
	regions   []regionTexts // for each input; nil: there are none, or their predictions are joined
}

// newGuided prepares the evaluation of a batch by a model.
func newGuided(b *Batch, m models.Model, refiner bool, f form, watch Watcher, how *guide) *guided {
	now := b.lead().encoder(refiner).Now()
	g := &guided{model: m, refiner: refiner, watch: watch, guide: how, guidance: now.Negative != nil && f.halves == both,
		parts: len(now.Positive), perturbed: f.perturbed}
	rows := b.rows(m.Info, refiner, f.halves, f.perturbed.kinds())
	height, width := b.Height, b.Width
	if g.tiles = newTiles(b.lead().Request.TiledDiffusion, b.settings.Downscale, height, width); g.tiles != nil {
		height, width = g.tiles.height, g.tiles.width
	}
	if b.attends() {
		g.parts = 1
	}
	if !f.separate {
		g.inputs = []backend.UNetInput{unetInput(m.Info.UNet, rows, height, width)}
	} else {
		for some := range slices.Chunk(rows, b.Len()) {
			g.inputs = append(g.inputs, unetInput(m.Info.UNet, some, height, width))
		}
	}
	if m.Info.UNet.GuidanceDim > 0 { // then there is one half
		for k := range g.inputs {
			for row := range g.inputs[k].Timesteps {
				g.inputs[k].Guidance = append(g.inputs[k].Guidance, float32(b.Slots[row%b.Len()].Member.Request.GuidanceScale))
			}
		}
	}
	g.output = make([]float32, len(rows)*b.Channels*b.Height*b.Width)
	first := 0
	for k := range g.inputs {
		n := len(g.inputs[k].Timesteps)
		if !refiner { // which has other layers
			g.inputs[k].Change = b.changeOf(f.perturbed, len(rows), first, n)
		}
		first += n
	}
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
// ones, as diffusers concatenates them; of prompts with AND first the first part of every picture. which may leave out a half.
// At the end stand the positive ones again for each kind of perturbed rows.
func (b *Batch) rows(info backend.ModelInfo, refiner bool, which halves, perturbed int) (rows []conditioning.Embedding) {
	now := make([]*conditioning.Conditioning, b.Len())
	for i, slot := range b.Slots {
		now[i] = slot.Member.encoder(refiner).Now()
	}
	add := func(positive bool, of func(c *conditioning.Conditioning) conditioning.Embedding) {
		for i, slot := range b.Slots {
			rows = append(rows, b.sized(of(now[i]), info, slot.Member, positive))
		}
	}
	if now[0].Negative != nil && which != positiveHalf {
		add(false, func(c *conditioning.Conditioning) conditioning.Embedding { return *c.Negative })
		if which == negativeHalf {
			return rows
		}
	}
	if b.attends() {
		for range 1 + perturbed {
			for i, slot := range b.Slots {
				joined := joinTexts(now[i].Positive, b.sharesOf(slot.Member))
				rows = append(rows, b.sized(joined, info, slot.Member, true))
			}
		}
		return rows
	}
	for k := range now[0].Positive {
		add(true, func(c *conditioning.Conditioning) conditioning.Embedding { return c.Positive[k] })
	}
	for range perturbed {
		add(true, func(c *conditioning.Conditioning) conditioning.Embedding { return c.Positive[0] })
	}
	return rows
}

// sized is an embedding with the sizes that a pass tells the UNet.
func (b *Batch) sized(e conditioning.Embedding, info backend.ModelInfo, m *Member, positive bool) conditioning.Embedding {
	if b.second {
		e.SizeIDs = conditioning.SizeIDs(info.UNet.SizeIDs, m.Texts, positive, true)
	}
	return e
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
			n += copy(dst[n:], b.given.shown)
			copy(dst[n:], b.image(b.given.masked, i))
		}
	}
}
