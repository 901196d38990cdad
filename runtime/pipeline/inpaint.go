package pipeline

import (
	"context"
	"image"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// encodeInpaint encodes the picture, the mask and the masked picture.
func (j *job) encodeInpaint(ctx context.Context, pixels backend.Tensor, marked image.Image) error {
	mask := maskOf(marked, j.req.Width, j.req.Height)
	j.source = &source{mask: shrinkMask(mask, j.req.Width, j.req.Height, j.p.settings.downscale)}
	var err error
	if !j.base.native9() || j.req.Strength < 1 || j.refines() {
		if j.source.moments, err = j.encodePicture(ctx, pixels); err != nil {
			return err
		}
	}
	if j.base.native9() {
		j.source.masked, err = j.encodePicture(ctx, maskedPixels(pixels, mask))
	}
	return err
}

// maskedPixels greys out what is to be repainted: 0 is the middle of [-1, 1].
func maskedPixels(pixels backend.Tensor, mask []float32) backend.Tensor {
	out := backend.Tensor{Shape: pixels.Shape, Data: make([]float32, len(pixels.Data))}
	for i, v := range pixels.Data {
		if mask[i%len(mask)] < 0.5 {
			out.Data[i] = v
		}
	}
	return out
}

// shrinkMask takes the upper left pixel of each latent cell, as torch's nearest interpolation does.
func shrinkMask(mask []float32, width, height, unit int) []float32 {
	out := make([]float32, 0, width/unit*(height/unit))
	for y := 0; y < height; y += unit {
		for x := 0; x < width; x += unit {
			out = append(out, mask[y*width+x])
		}
	}
	return out
}

// prepareInpaint draws what inpainting needs, in the order of StableDiffusionXLInpaintPipeline. That
// also encodes the masked picture for ordinary checkpoints, which do not use it; the draw is made up for, so that
// stochastic schedulers see the same noise after it. What only a refiner behind a 9-channel checkpoint needs is drawn last.
func (j *job) prepareInpaint(b *batch) error {
	pic := &encodedPicture{mask: j.source.mask, fromNoise: j.req.Strength == 1}
	forRefiner := j.base.native9() && pic.fromNoise
	if j.source.moments.Data != nil && !forRefiner {
		pic.latents = j.drawLatents(b, j.source.moments)
	}
	if err := j.drawNoise(b); err != nil {
		return err
	}
	if j.source.masked.Data != nil {
		pic.masked = j.drawLatents(b, j.source.masked)
	} else {
		skipDraw(b.generators, b.channels*b.height*b.width)
	}
	if j.source.moments.Data != nil && forRefiner {
		pic.latents = j.drawLatents(b, j.source.moments)
	}
	b.picture = pic
	return nil
}

// keepOutside puts the kept part of the picture back after evaluation i of an ordinary checkpoint: its latents with the
// initial noise at the level of the next evaluation, and without noise where the schedule is at its end.
func (e *expert) keepOutside(b *batch, i int, scratch []float32) error {
	pic := b.picture
	if pic == nil || pic.mask == nil || e.native9() {
		return nil
	}
	kept := pic.latents
	if b.unfinished || i+1 < b.run.NumEvaluations() {
		if err := b.run.AddNoise(scratch, pic.latents, b.noise, i+1); err != nil {
			return err
		}
		kept = scratch
	}
	for k, v := range b.latents {
		m := pic.mask[k%len(pic.mask)]
		b.latents[k] = float32((1-m)*kept[k]) + float32(m*v)
	}
	return nil
}

// fillSample writes the UNet's sample for the batch, once for each half of guidance that in holds: the scaled
// latents, and for a 9-channel UNet the mask and the masked picture's latents after them.
func (e *expert) fillSample(in *backend.UNetInput, b *batch, scaled []float32) {
	per := len(in.Sample.Data) / in.Sample.Shape[0]
	for row := range in.Sample.Shape[0] {
		i := row % b.count
		dst := in.Sample.Data[row*per : (row+1)*per]
		n := copy(dst, b.image(scaled, i))
		if e.native9() {
			n += copy(dst[n:], b.picture.mask)
			copy(dst[n:], b.image(b.picture.masked, i))
		}
	}
}
