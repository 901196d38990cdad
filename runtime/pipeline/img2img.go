package pipeline

import (
	"context"
	"fmt"
	"math"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/rng"
)

// encodedPicture is what image-to-image and inpainting know of the given picture, per batch.
type encodedPicture struct {
	latents   []float32 // [count, channels, height, width], in the UNet's range; nil where nothing needs them
	fromNoise bool      // start from pure noise all the same: inpainting at strength 1
	mask      []float32 // [height, width] of the latents: 1 repaint, 0 keep; nil without a mask
	masked    []float32 // latents of the picture with the repainted part greyed; 9-channel UNets only
}

// encodePicture runs the VAE's encoder over an input picture once; drawLatents then samples from the moments for every picture.
func (j *job) encodePicture(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	moments, err := j.p.coder.Encode(ctx, j.policy(), pixels)
	if err != nil {
		return backend.Tensor{}, fmt.Errorf("encoding init_image: %w", err)
	}
	j.warnOfVAE(moments, "the VAE's encoding of init_image")
	return moments.Tensor, nil
}

// drawLatents samples the encoder's distribution for each generator, as diffusers' retrieve_latents does:
// mean + exp(clamp(log-variance, -30, 20)/2) * noise, scaled into the UNet's range.
func (j *job) drawLatents(b *batch, moments backend.Tensor) []float32 {
	out := make([]float32, b.size())
	for i := range b.count {
		j.drawImage(b, i, moments, b.image(out, i))
	}
	return out
}

// drawImage does so for picture i of the batch.
func (j *job) drawImage(b *batch, i int, moments backend.Tensor, part []float32) {
	n := len(part)
	mean, logvar := moments.Data[:n], moments.Data[n:2*n]
	b.generators[i].Normal(part)
	for k := range part {
		std := float32(math.Exp(float64(0.5 * min(max(logvar[k], -30), 20))))
		part[k] = mean[k] + float32(std*part[k])
	}
	j.p.settings.scaleLatents(part, b.channels)
}

// skipDraw advances every generator past the draw of one latent, for which diffusers has no further use.
func skipDraw(generators rng.Batch, n int) {
	waste := make([]float32, n)
	for _, g := range generators {
		g.Normal(waste)
	}
}

// prepareInputs makes the batch's picture and noise in the order in which diffusers draws from its generator:
// the picture's latents, the initial noise, the masked picture's latents.
func (j *job) prepareInputs(b *batch) error {
	switch {
	case !j.req.Latents.IsZero():
		b.picture = &encodedPicture{latents: make([]float32, b.size())}
		b.copyGiven(b.picture.latents, j.req.Latents.Data)
		return j.drawAddedNoise(b)
	case j.source == nil:
		return j.drawNoise(b)
	case j.source.mask == nil:
		b.picture = &encodedPicture{latents: j.drawLatents(b, j.source.moments)}
		return j.drawAddedNoise(b)
	}
	return j.prepareInpaint(b)
}

// drawAddedNoise draws the noise that a picture's latents start with; none where they have noise already.
func (j *job) drawAddedNoise(b *batch) error {
	if j.req.DenoisingStart > 0 {
		return nil
	}
	return j.drawNoise(b)
}

// source is an input picture after the VAE's encoder; it is the same for every batch.
type source struct {
	moments backend.Tensor // of the picture; none where the UNet has 9 channels and strength is 1
	mask    []float32      // as in encodedPicture
	masked  backend.Tensor // moments of the masked picture; 9-channel UNets only
}

// encodeSource encodes init_image, and for inpainting what goes with it.
func (j *job) encodeSource(ctx context.Context) error {
	if j.req.InitImage.Image == nil || j.source != nil {
		return nil
	}
	j.enter(StageEncode)
	j.hold(memory.StageEncode)
	img, mask := j.inputPictures()
	pixels := pixelsOf(img, j.req.Width, j.req.Height)
	if mask != nil {
		return j.encodeInpaint(ctx, pixels, mask)
	}
	moments, err := j.encodePicture(ctx, pixels)
	j.source = &source{moments: moments}
	return err
}
