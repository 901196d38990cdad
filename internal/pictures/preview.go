package pictures

import (
	"context"
	"image"
	"math"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// PreviewMode says how a picture of unfinished latents is made.
type PreviewMode string

// The modes. A preview shows the picture the model expects to end at, not the noisy latents.
const (
	PreviewAuto  PreviewMode = "auto"  // PreviewTAESD where one is open, else PreviewRGB for models with SDXL's latent space, else PreviewVAE
	PreviewRGB   PreviewMode = "rgb"   // one pixel a latent cell by a fixed linear map: it costs nothing; SDXL's latent space only
	PreviewTAESD PreviewMode = "taesd" // full size through the TAESD; costs a small part of what the VAE does
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

// Preview makes pictures of predicted original latents, [N, C, h, w]; none where they are not finite, of which the step itself will tell.
func Preview(ctx context.Context, c *Coder, mode PreviewMode, x0 backend.Tensor) ([]image.Image, error) {
	channels, height, width := x0.Shape[1], x0.Shape[2], x0.Shape[3]
	sdxl := math.Abs(c.Settings.ScalingFactor-models.DefaultScalingFactor) < 1e-9
	switch {
	case mode == PreviewRGB || mode == PreviewVAE || mode == PreviewTAESD && c.Models.TAESD != nil:
	case c.Models.TAESD != nil:
		mode = PreviewTAESD
	case sdxl && channels == len(latentRGB):
		mode = PreviewRGB
	default:
		mode = PreviewVAE
	}
	decode := c.decodeVAE
	if mode == PreviewTAESD {
		decode = c.decodeTAESD
	}
	var out []image.Image
	size := channels * height * width
	for i := range x0.Shape[0] {
		part := x0.Data[i*size : (i+1)*size]
		if mode == PreviewRGB && channels == len(latentRGB) {
			out = append(out, latentPicture(part, width, height))
			continue
		}
		if NotFinite(part) >= 0 {
			return nil, nil
		}
		pixels, err := decode(ctx, backend.Tensor{Shape: []int{1, channels, height, width}, Data: part}, "a preview")
		if err != nil {
			return nil, err
		}
		out = append(out, Of(pixels.Data, pixels.Shape[3], pixels.Shape[2]))
	}
	return out, nil
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
	return Of(rgb, width, height)
}
