package pipeline

import (
	"image"

	"github.com/daguerre-go/daguerre/internal/pictures"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// PreviewMode says how WithPreview makes a picture of latents.
type PreviewMode = pictures.PreviewMode

// The modes. A preview shows the picture the model expects to end at, not the noisy latents.
const (
	// PreviewTAESD where one is open, else PreviewRGB for models with SDXL's latent space, else PreviewVAE
	PreviewAuto  = pictures.PreviewAuto
	PreviewRGB   = pictures.PreviewRGB   // one pixel a latent cell by a fixed linear map: it costs nothing; SDXL's latent space only
	PreviewTAESD = pictures.PreviewTAESD // full size through Config.TAESD; costs a small part of what the VAE does
	PreviewVAE   = pictures.PreviewVAE   // full size through the VAE's decoder; costs as much as the final decoding
)

// Pixels turns a picture into the VAE encoder's input, [1, 3, height, width] in [-1, 1], as image-to-image does. It is scaled with Lanczos.
func Pixels(img image.Image, width, height int) backend.Tensor {
	return pictures.Pixels(img, width, height)
}
