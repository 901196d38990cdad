package pipeline

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/vae"
)

// decode turns a batch's latents into pictures, appends them to the result and hands them to the caller one by one.
// One picture at a time goes through the VAE, whose buffers are the largest of all, unless slicing is off.
func (j *job) decode(ctx context.Context, b *batch) error {
	j.enter(StageDecode)
	at := 1
	if j.p.config.VAEPolicy.Slicing == vae.Off {
		at = b.count
	}
	for from := 0; from < b.count; from += at {
		latents := backend.Tensor{Shape: []int{at, b.channels, b.height, b.width}, Data: b.latents[from*b.size()/b.count : (from+at)*b.size()/b.count]}
		pixels, err := j.decodeLatents(ctx, latents, j.describe(b.first+from, at))
		if err != nil {
			return err
		}
		for i := range at {
			per := len(pixels.Data) / at
			if err := j.deliver(b, from+i, pixels.Data[i*per:(i+1)*per]); err != nil {
				return err
			}
		}
	}
	return nil
}

// deliver finishes picture i of a batch, of pixels [3, height, width].
func (j *job) deliver(b *batch, i int, pixels []float32) error {
	img, _ := pictureOf(pixels, j.req.Width, j.req.Height)
	done := Image{NRGBA: img, Index: b.first + i, Seed: b.seeds[i], Latents: b.latentsOf(i)}
	j.res.Images = append(j.res.Images, done)
	j.finishImage()
	if j.opt.image != nil {
		return j.opt.image(done)
	}
	return nil
}

// describe names count pictures from first on.
func (j *job) describe(first, count int) string {
	if count == 1 {
		return fmt.Sprintf("picture %d", first)
	}
	return fmt.Sprintf("one of pictures %d to %d", first, first+count-1)
}

// decodeLatents makes pixels of latents in the UNet's range, [N, 4, h, w], through the VAE or, where Config.FastDecode asks for it, TAESD.
// what names them in errors and warnings.
func (j *job) decodeLatents(ctx context.Context, latents backend.Tensor, what string) (backend.Tensor, error) {
	if j.p.taesd != nil && j.p.config.FastDecode {
		return j.decodeTAESD(ctx, latents, what)
	}
	return j.decodeVAE(ctx, latents, what)
}

// decodeTAESD decodes with the tiny autoencoder, whose latents are in the UNet's range as they are.
func (j *job) decodeTAESD(ctx context.Context, latents backend.Tensor, what string) (backend.Tensor, error) {
	out, err := j.p.taesd.DecodeLatents(ctx, latents)
	if err != nil {
		return backend.Tensor{}, fmt.Errorf("decoding %s with TAESD: %w", what, err)
	}
	return out, nil
}

// decodeVAE runs the VAE's decoder.
func (j *job) decodeVAE(ctx context.Context, latents backend.Tensor, what string) (backend.Tensor, error) {
	in := backend.Tensor{Shape: latents.Shape, Data: append([]float32(nil), latents.Data...)}
	per := len(in.Data) / in.Shape[0]
	for i := range in.Shape[0] {
		j.p.settings.unscaleLatents(in.Data[i*per:(i+1)*per], in.Shape[1])
	}
	out, err := j.p.coder.Decode(ctx, j.p.config.VAEPolicy, in)
	if err != nil {
		return backend.Tensor{}, fmt.Errorf("decoding %s: %w", what, err)
	}
	j.warnOfVAE(out, what)
	return out.Tensor, nil
}

// warnOfVAE tells of what the VAE could not do at once.
func (j *job) warnOfVAE(r vae.Result, what string) {
	if text := r.Warning(what); text != "" {
		j.warn(text)
	}
}
