package pictures

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Coder takes a job's latents through the VAE and back, or through the tiny autoencoder. Latents are in the UNet's range. It belongs to
// one goroutine.
type Coder struct {
	Models   *models.Set
	Settings *models.Settings
	Policy   vae.Policy
	Fast     bool // pictures are decoded by the TAESD
	// Retry says what is done where memory runs out: other buffers are freed and the call is made again, then by tiles.
	Retry bool
	Warn  func(string)
}

// Decode makes pixels, [N, 3, 8h, 8w], of latents, [N, C, h, w]. what names them in errors and warnings.
func (c *Coder) Decode(ctx context.Context, latents backend.Tensor, what string) (backend.Tensor, error) {
	if c.Fast {
		return c.decodeTAESD(ctx, latents, what)
	}
	return c.decodeVAE(ctx, latents, what)
}

// decodeTAESD decodes with the tiny autoencoder, which takes latents as they are.
func (c *Coder) decodeTAESD(ctx context.Context, latents backend.Tensor, what string) (backend.Tensor, error) {
	out, err := c.Models.TAESD.DecodeLatents(ctx, latents)
	if err != nil {
		return backend.Tensor{}, fmt.Errorf("decoding %s with TAESD: %w", what, err)
	}
	if NotFinite(out.Data) >= 0 {
		c.Warn(what + " has values that are not finite, by the TAESD; leave taesd out, or try precision f32")
	}
	return out, nil
}

// decodeVAE runs the VAE's decoder.
func (c *Coder) decodeVAE(ctx context.Context, latents backend.Tensor, what string) (backend.Tensor, error) {
	in := backend.Tensor{Shape: latents.Shape, Data: slices.Clone(latents.Data)}
	for one := range slices.Chunk(in.Data, len(in.Data)/in.Shape[0]) {
		c.Settings.UnscaleLatents(one, in.Shape[1])
	}
	out, err := c.Models.Coder.Decode(ctx, c.Policy, in)
	if err != nil {
		return backend.Tensor{}, fmt.Errorf("decoding %s: %w", what, err)
	}
	return out.Tensor, c.judge(ctx, out, what, "vae_decoder")
}

// Encode runs the VAE's encoder over pixels. It returns moments, whose scaling is the caller's.
func (c *Coder) Encode(ctx context.Context, pixels backend.Tensor, what string) (backend.Tensor, error) {
	moments, err := c.Models.Coder.Encode(ctx, c.Policy, pixels)
	if err != nil {
		return backend.Tensor{}, fmt.Errorf("encoding %s: %w", what, err)
	}
	return moments.Tensor, c.judge(ctx, moments, "the VAE's encoding of "+what, "vae_encoder")
}

// judge reports what the VAE could not do at once. If a result is not finite because a weight of the component is damaged, that is an
// error.
func (c *Coder) judge(ctx context.Context, r vae.Result, what, component string) error {
	if r.Fault == vae.NotFinite {
		if err := c.Models.Base.Damage(ctx, component); err != nil {
			return fmt.Errorf("%s has %s: %w", what, r.Fault, err)
		}
	}
	if text := r.Warning(what); text != "" {
		c.Warn(text)
	}
	return nil
}

// Finished is where a batch's pictures go.
type Finished struct {
	Names   func(pictures []int) string // for errors
	Live    func(picture int) bool      // whether it is still wanted; nil: all are
	Deliver func(picture int, img *image.NRGBA) error
}

// Finish turns a batch's latents, [N, C, h, w], into pictures, and hands each over as soon as it is done. As many go through the VAE
// together as the policy and the model allow: its buffers are the largest of all.
func (c *Coder) Finish(ctx context.Context, latents backend.Tensor, to Finished) error {
	count := latents.Shape[0]
	together, err := c.together(count, latents.Shape[2], latents.Shape[3])
	if err != nil {
		return err
	}
	for from := 0; from < count; from += together {
		var some []int
		for i := from; i < min(from+together, count); i++ {
			if to.Live == nil || to.Live(i) {
				some = append(some, i)
			}
		}
		if err := c.finish(ctx, latents, some, to); err != nil {
			return err
		}
	}
	return nil
}

// together is how many pictures of a batch go through the VAE at a time.
func (c *Coder) together(count, height, width int) (int, error) {
	switch {
	case c.Policy.Slicing == vae.Off:
		return count, nil
	case count == 1 || c.Fast:
		return 1, nil
	}
	return c.Models.Coder.Together(c.Policy, count, height, width)
}

// finish finishes some pictures of a batch together. If memory does not suffice for that, one after the other.
func (c *Coder) finish(ctx context.Context, latents backend.Tensor, some []int, to Finished) error {
	if len(some) == 0 {
		return nil
	}
	in := backend.Tensor{Shape: slices.Clone(latents.Shape)}
	in.Shape[0] = len(some)
	per := len(latents.Data) / latents.Shape[0]
	for _, i := range some {
		in.Data = append(in.Data, latents.Data[i*per:(i+1)*per]...)
	}
	several := len(some) > 1 && c.Policy.Slicing != vae.Off
	decode := c.decodeFitting
	if several {
		decode = c.Decode
	}
	pixels, err := decode(ctx, in, to.Names(some))
	if several && errors.Is(err, backend.ErrOutOfMemory) {
		for _, i := range some {
			if err := c.finish(ctx, latents, []int{i}, to); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	size := len(pixels.Data) / len(some)
	for k, i := range some {
		if err := to.Deliver(i, Of(pixels.Data[k*size:(k+1)*size], pixels.Shape[3], pixels.Shape[2])); err != nil {
			return err
		}
	}
	return nil
}

// decodeFitting is Decode where memory may run out with all steps behind it: it is tried again with other buffers freed, and then by
// tiles.
func (c *Coder) decodeFitting(ctx context.Context, latents backend.Tensor, what string) (backend.Tensor, error) {
	out, err := c.Decode(ctx, latents, what)
	if err == nil || !c.Retry || !errors.Is(err, backend.ErrOutOfMemory) {
		return out, err
	}
	c.Warn(fmt.Sprintf("%s did not fit into memory through the VAE; freeing buffers and trying again", what))
	if err := c.Models.ReleaseCompute(); err != nil {
		return out, err
	}
	out, err = c.Decode(ctx, latents, what)
	if errors.Is(err, backend.ErrOutOfMemory) && c.Policy.Tiling != vae.Off {
		c.Policy.Tiling = vae.On
		out, err = c.Decode(ctx, latents, what)
	}
	return out, err
}
