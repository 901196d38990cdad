package steps

import (
	"github.com/daguerre-go/daguerre/internal/models"
)

// drawInpaint draws in the order of StableDiffusionXLInpaintPipeline. That one also encodes the masked picture for ordinary
// checkpoints, which do not use it. The draw is made up for, so that stochastic schedulers see the same noise after it. What only a refiner
// behind a 9-channel checkpoint needs is drawn last. Soft masks are drawn for as in StableDiffusionXLDifferentialImg2ImgPipeline: there is
// no masked picture.
func (b *Batch) drawInpaint(native9 bool) error {
	lead := b.lead()
	source, soft := lead.Source, lead.Request.Inpaint.Soft
	g := newGiven(source, soft)
	g.fromNoise = lead.Request.Strength == 1 && !soft
	forRefiner := native9 && g.fromNoise
	if source.Moments.Data != nil && !forRefiner {
		g.latents = b.sample(source.Moments)
	}
	if err := b.drawNoise(); err != nil {
		return err
	}
	switch {
	case source.Masked.Data != nil:
		g.masked = b.sample(source.Masked)
	case !soft:
		skipDraw(b.generators, b.Channels*b.Height*b.Width)
	}
	if source.Moments.Data != nil && forRefiner {
		g.latents = b.sample(source.Moments)
	}
	g.fill(lead.Request.Inpaint.Fill, b.noise)
	b.given = g
	return nil
}

// drawSecond draws for the mask of a second pass, whose noise is drawn.
func (b *Batch) drawSecond() {
	source := b.lead().Source
	if source == nil || source.Second == nil {
		return
	}
	b.given = newGiven(source.Second, b.lead().Request.Inpaint.Soft)
	b.given.latents = b.sample(source.Second.Moments)
	if source.Second.Masked.Data != nil {
		b.given.masked = b.sample(source.Second.Masked)
	}
}

// keepOutside puts the kept part of the picture back after evaluation i of an ordinary checkpoint: its latents with the initial noise at
// the level of the next evaluation, and without noise where the schedule is at its end. A soft mask keeps a cell as long as the part of the
// schedule that is done is below the part that the cell keeps, and nothing at the end (arXiv 2306.00950).
func (b *Batch) keepOutside(i int, scratch []float32, m models.Model) error {
	pic, end := b.given, !b.unfinished && i+1 == b.run.NumEvaluations()
	if pic == nil || pic.mask == nil || Native9(m.Info) && !pic.soft || pic.soft && end {
		return nil
	}
	kept := pic.latents
	if !end {
		if err := b.run.AddNoise(scratch, pic.latents, b.noise, i+1); err != nil {
			return err
		}
		kept = scratch
	}
	done := float32(b.soft.done+i+1) / float32(b.soft.whole)
	for k, v := range b.Latents {
		m := pic.mask[k%len(pic.mask)]
		switch {
		case !pic.soft:
			b.Latents[k] = float32((1-m)*kept[k]) + float32(m*v)
		case 1-m > done:
			b.Latents[k] = kept[k]
		}
	}
	return nil
}
