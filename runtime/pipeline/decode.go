package pipeline

import (
	"context"
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// decode turns a batch's latents into pictures, appends them to the result and hands them to the caller as they are done. As many
// go through the VAE, whose buffers are the largest of all, as decodedTogether says.
func (j *job) decode(ctx context.Context, b *batch) error {
	j.enter(StageDecode)
	j.hold(memory.StageDecode)
	at, err := j.decodedTogether(b)
	if err != nil {
		return err
	}
	for from := 0; from < b.count; from += at {
		var some []int
		for i := from; i < min(from+at, b.count); i++ {
			if j.opt.live == nil || j.opt.live(i) {
				some = append(some, i)
			}
		}
		if err := j.decodeSome(ctx, b, some); err != nil {
			return err
		}
	}
	return nil
}

// decodedTogether is how many pictures of a batch go through the VAE at a time.
func (j *job) decodedTogether(b *batch) (int, error) {
	switch policy := j.policy(); {
	case policy.Slicing == vae.Off:
		return b.count, nil
	case b.count == 1 || j.p.taesd != nil && j.p.config.FastDecode:
		return 1, nil
	default:
		return j.p.coder.Together(policy, b.count, b.height, b.width)
	}
}

// decodeSome finishes pictures of a batch, together. If memory does not suffice for that, one after the other.
func (j *job) decodeSome(ctx context.Context, b *batch, pictures []int) error {
	if len(pictures) == 0 {
		return nil
	}
	latents := backend.Tensor{Shape: []int{len(pictures), b.channels, b.height, b.width}}
	var slots []slot
	for _, i := range pictures {
		latents.Data = append(latents.Data, b.image(b.latents, i)...)
		slots = append(slots, b.slots[i])
	}
	decode, several := j.decodeFitting, len(pictures) > 1 && j.policy().Slicing != vae.Off
	if several {
		decode = j.decodeLatents
	}
	pixels, err := decode(ctx, latents, describe(slots))
	if several && OutOfMemory(err) {
		for _, i := range pictures {
			if err := j.decodeSome(ctx, b, []int{i}); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	per := len(pixels.Data) / len(pictures)
	for k, i := range pictures {
		if err := j.deliver(b, i, pixels.Data[k*per:(k+1)*per]); err != nil {
			return err
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
	names := make([]string, len(slots))
	for i, s := range slots {
		names[i] = fmt.Sprint(s.index)
	}
	if len(slots) == 1 {
		return "picture " + names[0]
	}
	return "one of the pictures " + strings.Join(names, ", ")
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
