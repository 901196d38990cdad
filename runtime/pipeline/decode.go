package pipeline

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// decode turns a batch's latents into pictures, appends them to the result and hands them to the caller one by one.
// One picture at a time goes through the VAE, whose buffers are the largest of all.
func (j *job) decode(ctx context.Context, b *batch) error {
	j.enter(StageDecode)
	for i := range b.count {
		latents := b.latentsOf(i)
		pixels, err := j.decodeLatents(ctx, latents)
		if err != nil {
			return fmt.Errorf("decoding picture %d: %w", b.first+i, err)
		}
		img, bad := pictureOf(pixels.Data, j.req.Width, j.req.Height)
		if bad > 0 {
			j.warn(fmt.Sprintf("picture %d: %d values of the VAE's output were not finite and became black; try precision f32 or another VAE", b.first+i, bad))
		}
		done := Image{NRGBA: img, Index: b.first + i, Seed: b.seeds[i], Latents: latents}
		j.res.Images = append(j.res.Images, done)
		j.finishImage()
		if j.opt.image != nil {
			if err := j.opt.image(done); err != nil {
				return err
			}
		}
	}
	return nil
}

// decodeLatents runs the VAE's decoder on latents in the UNet's range, [N, 4, h, w].
func (j *job) decodeLatents(ctx context.Context, latents backend.Tensor) (backend.Tensor, error) {
	in := backend.Tensor{Shape: latents.Shape, Data: append([]float32(nil), latents.Data...)}
	per := len(in.Data) / in.Shape[0]
	for i := range in.Shape[0] {
		j.p.settings.unscaleLatents(in.Data[i*per:(i+1)*per], in.Shape[1])
	}
	return j.p.model.DecodeLatents(ctx, in)
}
