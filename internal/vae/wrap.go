package vae

import (
	"context"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// wrapMargin is how many latent cells of the other side tiles are shown beyond a border that wraps: more than the levels see.
const wrapMargin = 16

// decodeWrapped decodes by tiles where the context says that borders wrap. Tiles have borders of their own, which must not. So the latents
// get a margin from their other side, and the picture loses it again.
func (p Policy) decodeWrapped(ctx context.Context, m backend.Model, latents backend.Tensor) (backend.Tensor, Plan, error) {
	axes := backend.WrapOf(ctx)
	n, h, w := latents.Shape[0], latents.Shape[2], latents.Shape[3]
	my, mx := 0, 0
	if axes&backend.WrapY != 0 {
		my = min(wrapMargin, h)
	}
	if axes&backend.WrapX != 0 {
		mx = min(wrapMargin, w)
	}
	plan, err := p.PlanDecode(m, n, h+2*my, w+2*mx)
	if err != nil {
		return backend.Tensor{}, plan, err
	}
	large := backend.NewTensor(n, latents.Shape[1], h+2*my, w+2*mx)
	for i := range large.Data {
		x, y, plane := i%(w+2*mx), i/(w+2*mx)%(h+2*my), i/(w+2*mx)/(h+2*my)
		large.Data[i] = latents.Data[(plane*h+(y+h-my)%h)*w+(x+w-mx)%w]
	}
	out, err := plan.decode(backend.WithWrap(ctx, 0), m, large)
	if err != nil {
		return backend.Tensor{}, plan, err
	}
	unit := max(m.Info().VAE.Downscale, 1)
	cut := backend.NewTensor(n, out.Shape[1], h*unit, w*unit)
	for i := range cut.Data {
		x, y, plane := i%(w*unit), i/(w*unit)%(h*unit), i/(w*unit)/(h*unit)
		cut.Data[i] = out.Data[(plane*out.Shape[2]+y+my*unit)*out.Shape[3]+x+mx*unit]
	}
	return cut, plan, nil
}
