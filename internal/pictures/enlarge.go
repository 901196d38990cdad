package pictures

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/upscale"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Enlarge decodes one picture of a first pass, [1, C, h, w], enlarges it to the second pass's size, and encodes it again to moments. what
// names it.
func Enlarge(ctx context.Context, c *Coder, latents backend.Tensor, h request.Hires, what string) (backend.Tensor, error) {
	what += " of the first pass"
	pixels, err := c.decodeVAE(ctx, latents, what)
	if err != nil {
		return pixels, err
	}
	img := Of(pixels.Data, pixels.Shape[3], pixels.Shape[2])
	if h.Upscaler == request.UpscaleModel {
		lease, err := c.Models.Upscaler(ctx)
		if err != nil {
			return pixels, fmt.Errorf("upscaler: %w", err)
		}
		defer func() { _ = lease.Release() }() // an error of closing a model changes no picture
		if img, err = upscale.Picture(ctx, lease.Value, img, upscale.Options{}); err != nil {
			return pixels, fmt.Errorf("upscaler: %w", err)
		}
	}
	return c.Encode(ctx, Pixels(picture.Resize(img, h.Width, h.Height), h.Width, h.Height), what)
}
