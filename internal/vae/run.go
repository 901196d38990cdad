package vae

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// PlanDecode tells how Decode would go about batch pictures of height x width latent cells.
func (p Policy) PlanDecode(m backend.Model, batch, height, width int) (Plan, error) {
	return p.plan(m, true, batch, height, width)
}

// PlanEncode tells how Encode would go about batch pictures of height x width pixels, whole latent cells.
func (p Policy) PlanEncode(m backend.Model, batch, height, width int) (Plan, error) {
	unit := max(m.Info().VAE.Downscale, 1)
	if height%unit != 0 || width%unit != 0 {
		return Plan{}, fmt.Errorf("pixels: %d x %d (W x H) are not multiples of %d", width, height, unit)
	}
	return p.plan(m, false, batch, height/unit, width/unit)
}

// Decode is backend.Model's DecodeLatents under the policy: latents [N, C, h, w], already divided by the scaling factor, to
// pixels [N, 3, 8h, 8w]. It tells how it went about it. Cancelling ctx stops it in or after a tile.
func (p Policy) Decode(ctx context.Context, m backend.Model, latents backend.Tensor) (out backend.Tensor, plan Plan, err error) {
	n, h, w, err := pictureShape("latents", latents)
	if err == nil {
		plan, err = p.PlanDecode(m, n, h, w)
	}
	if err != nil {
		return out, plan, err
	}
	if plan.Tiles > 1 && backend.WrapOf(ctx) != 0 {
		return p.decodeWrapped(ctx, m, latents)
	}
	out, err = plan.decode(ctx, m, latents)
	return out, plan, err
}

func (p Plan) decode(ctx context.Context, m backend.Model, latents backend.Tensor) (backend.Tensor, error) {
	return p.each(latents, func(part backend.Tensor) (backend.Tensor, error) {
		if p.Tiles == 1 {
			return m.DecodeLatents(ctx, part)
		}
		unit := m.Info().VAE.Downscale
		parts, ok := partsOf(m, true)
		if !ok {
			return plain(ctx, part, p.grid, 1, unit, m.DecodeLatents)
		}
		features, _, err := parts.RunVAEPart(ctx, backend.VAEPartInput{Stage: backend.StageVAEDecodeMiddle, Input: part})
		if err != nil {
			return backend.Tensor{}, err
		}
		return levels(ctx, parts, backend.StageVAEDecodeLevels, features, p.grid, 1, unit)
	})
}

// Encode is backend.Model's EncodeImage under the policy: pixels [N, 3, H, W] in [-1, 1] to moments [N, 2C, H/8, W/8].
func (p Policy) Encode(ctx context.Context, m backend.Model, pixels backend.Tensor) (out backend.Tensor, plan Plan, err error) {
	n, h, w, err := pictureShape("pixels", pixels)
	if err == nil {
		plan, err = p.PlanEncode(m, n, h, w)
	}
	if err != nil {
		return out, plan, err
	}
	if plan.Tiles > 1 { // tiles have borders of their own
		ctx = backend.WithWrap(ctx, 0)
	}
	unit := max(m.Info().VAE.Downscale, 1)
	out, err = plan.each(pixels, func(part backend.Tensor) (backend.Tensor, error) {
		if plan.Tiles == 1 {
			return m.EncodeImage(ctx, part)
		}
		parts, ok := partsOf(m, false)
		if !ok {
			return plain(ctx, part, plan.grid, unit, 1, m.EncodeImage)
		}
		features, err := levels(ctx, parts, backend.StageVAEEncodeLevels, part, plan.grid, unit, 1)
		if err != nil {
			return backend.Tensor{}, err
		}
		moments, _, err := parts.RunVAEPart(ctx, backend.VAEPartInput{Stage: backend.StageVAEEncodeMiddle, Input: features})
		return moments, err
	})
	return out, plan, err
}

// each hands as many pictures at a time to run as the plan says, and puts the results together.
func (p Plan) each(in backend.Tensor, run func(backend.Tensor) (backend.Tensor, error)) (backend.Tensor, error) {
	n := in.Shape[0]
	if p.PerCall >= n {
		return run(in)
	}
	var out backend.Tensor
	per := len(in.Data) / n
	for i := 0; i < n; i += p.PerCall {
		next := min(i+p.PerCall, n)
		shape := append([]int{next - i}, in.Shape[1:]...)
		some, err := run(backend.Tensor{Shape: shape, Data: in.Data[i*per : next*per]})
		if err != nil {
			return backend.Tensor{}, fmt.Errorf("picture %d of %d: %w", i+1, n, err)
		}
		if out.Data == nil {
			out = backend.NewTensor(append([]int{n}, some.Shape[1:]...)...)
		}
		copy(out.Data[i*len(some.Data)/(next-i):], some.Data)
	}
	return out, nil
}

// pictureShape checks that t is [N, C, H, W] and complete.
func pictureShape(name string, t backend.Tensor) (n, h, w int, err error) {
	if len(t.Shape) != 4 || min(t.Shape[0], t.Shape[1], t.Shape[2], t.Shape[3]) < 1 || backend.Count(t.Shape...) != len(t.Data) {
		return 0, 0, 0, fmt.Errorf("%s: shape %v with %d values; expected [N, C, H, W]", name, t.Shape, len(t.Data))
	}
	return t.Shape[0], t.Shape[2], t.Shape[3], nil
}
