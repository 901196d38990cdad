package pipeline

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/memory"
	"github.com/daguerre-go/daguerre/runtime/vae"
)

// decode turns a batch's latents into pictures, appends them to the result and hands them to the caller one by one.
// One picture at a time goes through the VAE, whose buffers are the largest of all, unless slicing is off.
func (j *job) decode(ctx context.Context, b *batch) error {
	j.enter(StageDecode)
	j.hold(memory.StageDecode)
	at := 1
	if j.policy().Slicing == vae.Off {
		at = b.count
	}
	for from := 0; from < b.count; from += at {
		if at == 1 && j.opt.live != nil && !j.opt.live(from) {
			continue
		}
		latents := backend.Tensor{Shape: []int{at, b.channels, b.height, b.width}, Data: b.latents[from*b.size()/b.count : (from+at)*b.size()/b.count]}
		pixels, err := j.decodeFitting(ctx, latents, describe(b.slots[from:from+at]))
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
	img, _ := pictureOf(pixels, b.width*j.p.settings.downscale, b.height*j.p.settings.downscale)
	done := Image{NRGBA: b.slots[i].job.finishPicture(img), Index: b.slots[i].index, Seed: b.seeds[i], Latents: b.latentsOf(i)}
	j.finishImage()
	if j.opt.slotImage != nil {
		return j.opt.slotImage(i, done)
	}
	j.res.Images = append(j.res.Images, done)
	if j.opt.image != nil {
		return j.opt.image(done)
	}
	return nil
}

// describe names pictures.
func describe(slots []slot) string {
	first, last := slots[0].index, slots[len(slots)-1].index
	if len(slots) == 1 {
		return fmt.Sprintf("picture %d", first)
	}
	return fmt.Sprintf("one of pictures %d to %d", first, last)
}

// decodeFitting is decodeLatents for batches of a Batcher: where memory runs out with all steps behind it, it is tried again with other
// buffers freed, and then by tiles.
func (j *job) decodeFitting(ctx context.Context, latents backend.Tensor, what string) (backend.Tensor, error) {
	out, err := j.decodeLatents(ctx, latents, what)
	if err == nil || j.opt.slotImage == nil || !OutOfMemory(err) {
		return out, err
	}
	j.warn(fmt.Sprintf("%s did not fit into memory through the VAE; freeing buffers and trying again", what))
	if err := j.p.trim(); err != nil {
		return out, err
	}
	out, err = j.decodeLatents(ctx, latents, what)
	if OutOfMemory(err) && j.policy().Tiling != vae.Off {
		j.opt.tiling = true
		out, err = j.decodeLatents(ctx, latents, what)
	}
	return out, err
}

// policy is how pictures go through the VAE.
func (j *job) policy() vae.Policy {
	p := j.p.config.VAEPolicy
	if j.opt.tiling || j.memory.tiling {
		p.Tiling = vae.On
	}
	return p
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
	out, err := j.p.coder.Decode(ctx, j.policy(), in)
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
