package pipeline

import (
	"context"
	"image"
	"math"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// PreviewMode says how WithPreview makes a picture of latents.
type PreviewMode string

// The modes. A preview shows the picture the model expects to end at, not the noisy latents.
const (
	PreviewAuto  PreviewMode = "auto"  // PreviewTAESD where one is open, else PreviewRGB for models with SDXL's latent space, else PreviewVAE
	PreviewRGB   PreviewMode = "rgb"   // one pixel per latent cell by a fixed linear map; costs nothing; SDXL's latent space only
	PreviewTAESD PreviewMode = "taesd" // full size through Config.TAESD; costs a small part of what the VAE does
	PreviewVAE   PreviewMode = "vae"   // full size through the VAE's decoder; costs as much as the final decoding
)

// latentRGB maps SDXL's four latent channels to red, green and blue in [-1, 1]: a least-squares fit published
// as latent_rgb_factors and latent_rgb_factors_bias of the SDXL class in ComfyUI's latent_formats.py.
var latentRGB = [4][3]float32{
	{0.3651, 0.4232, 0.4341},
	{-0.2533, -0.0042, 0.1068},
	{0.1076, 0.1111, -0.0362},
	{-0.3165, -0.2492, -0.2188},
}

var latentRGBBias = [3]float32{0.1084, -0.0175, -0.0011}

// wantsPreview reports whether the step that is about to end gets a preview. The last one does not: the picture itself follows.
func (j *job) wantsPreview(step int, last bool) bool {
	return j.opt.previewEvery > 0 && j.opt.progress != nil && !last && step%j.opt.previewEvery == 0
}

// preview makes the pictures for the next progress report from predicted original latents.
func (j *job) preview(ctx context.Context, b *batch, x0 []float32) error {
	mode := j.opt.previewMode
	switch {
	case mode == PreviewRGB || mode == PreviewVAE || mode == PreviewTAESD && j.p.taesd != nil:
	case j.p.taesd != nil:
		mode = PreviewTAESD
	case math.Abs(j.p.settings.scalingFactor-sdxlScalingFactor) < 1e-9 && b.channels == len(latentRGB):
		mode = PreviewRGB
	default:
		mode = PreviewVAE
	}
	for i := range b.count {
		part := b.image(x0, i)
		if mode == PreviewRGB && b.channels == len(latentRGB) {
			j.previews = append(j.previews, latentPicture(part, b.width, b.height))
			continue
		}
		if notFinite(part) >= 0 {
			j.previews = nil // the step itself will tell
			return nil
		}
		decode := j.decodeVAE
		if mode == PreviewTAESD {
			decode = j.decodeTAESD
		}
		pixels, err := decode(ctx, backend.Tensor{Shape: []int{1, b.channels, b.height, b.width}, Data: part}, "a preview")
		if err != nil {
			return err
		}
		img, _ := pictureOf(pixels.Data, pixels.Shape[3], pixels.Shape[2])
		j.previews = append(j.previews, img)
	}
	return nil
}

// latentPicture applies latentRGB to one picture's latents.
func latentPicture(latents []float32, width, height int) image.Image {
	cells := width * height
	rgb := make([]float32, 3*cells)
	for c := range 3 {
		for p := range cells {
			v := latentRGBBias[c]
			for l := range latentRGB {
				v += latentRGB[l][c] * latents[l*cells+p]
			}
			rgb[c*cells+p] = v
		}
	}
	img, _ := pictureOf(rgb, width, height)
	return img
}
