package native

import (
	"context"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// EncodeHint maps a ControlNet's picture, pixels [N, 3, H, W] in [0, 1], to [N, ModelChannels, H/8, W/8]. H and W are multiples
// of HintDownscale.
func (m *Model) EncodeHint(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	const op = OpEncodeHint
	if err := m.require(op, controlNet); err != nil {
		return backend.Tensor{}, err
	}
	c := m.info.Control
	if err := checkTensor(op, "pixels", pixels, anySize, c.HintChannels, anySize, anySize); err != nil {
		return backend.Tensor{}, err
	}
	n, h, w := pixels.Shape[0], pixels.Shape[2], pixels.Shape[3]
	if c.HintDownscale < 1 || h%c.HintDownscale != 0 || w%c.HintDownscale != 0 {
		return backend.Tensor{}, invalid(op, "pixels", "%d x %d (W x H) are not multiples of %d", w, h, c.HintDownscale)
	}
	out, err := newTensor(op, n, m.info.UNet.ModelChannels, h/c.HintDownscale, w/c.HintDownscale)
	if err != nil {
		return out, err
	}
	err = m.run(ctx, op, func() error { return m.handle.ControlHint(int64(n), int64(h), int64(w), pixels.Data, out.Data) })
	if err != nil {
		return backend.Tensor{}, err
	}
	return out, nil
}

// ControlNet evaluates the ControlNet once and adds its scaled residuals to rows of residuals. They must not overlap any of in.
func (m *Model) ControlNet(ctx context.Context, in backend.ControlInput, residuals []float32) error {
	native, err := m.checkControl(in, residuals)
	if err != nil {
		return err
	}
	return m.run(ctx, OpControlNet, func() error { return m.handle.ControlEval(native, residuals) })
}

func (m *Model) checkControl(in backend.ControlInput, residuals []float32) (bindings.ControlInput, error) {
	const op = OpControlNet
	var native bindings.ControlInput
	if err := m.require(op, controlNet); err != nil {
		return native, err
	}
	u := m.info.UNet
	if err := checkTensor(op, "sample", in.Sample, anySize, u.InChannels, anySize, anySize); err != nil {
		return native, err
	}
	n, h, w := in.Sample.Shape[0], in.Sample.Shape[2], in.Sample.Shape[3]
	if len(in.Timesteps) != n {
		return native, invalid(op, "timesteps", "there are %d for a batch of %d", len(in.Timesteps), n)
	}
	width := u.ContextDim
	if width == 0 {
		width = anySize // without cross-attention it is not looked at
	}
	for _, t := range []struct {
		field  string
		tensor backend.Tensor
		shape  []int
	}{
		{"context", in.Context, []int{n, anySize, width}},
		{"pooled", in.Pooled, []int{n, u.PooledDim}},
		{"size_ids", in.SizeIDs, []int{n, u.SizeIDs}},
		{"hint", in.Hint, []int{anySize, u.ModelChannels, h, w}},
	} {
		if err := checkTensor(op, t.field, t.tensor, t.shape...); err != nil {
			return native, err
		}
	}
	if in.Hint.Shape[0] != 1 && in.Hint.Shape[0] != n {
		return native, invalid(op, "hint", "there are %d for a batch of %d; one or as many are wanted", in.Hint.Shape[0], n)
	}
	if want := len(u.ResidualShapes(h, w)); len(in.Scales) != want {
		return native, invalid(op, "scales", "there are %d; the net has %d residuals", len(in.Scales), want)
	}
	if most := max(m.info.Control.Types-1, 0); in.Type < 0 || in.Type > most {
		return native, invalid(op, "type", "%d is not in 0..%d, the kinds of control this net tells apart", in.Type, most)
	}
	rows := in.Rows
	if rows == 0 {
		rows = n
	}
	if in.FirstRow < 0 || in.FirstRow+n > rows {
		return native, invalid(op, "first_row", "%d rows from %d on are not among %d", n, in.FirstRow, rows)
	}
	if want := u.ResidualCount(rows, h, w); len(residuals) != want {
		return native, invalid(op, "residuals", "there are %d values; %d rows of %d x %d cells need %d", len(residuals), rows, w, h, want)
	}
	return bindings.ControlInput{
		Batch: int64(n), Height: int64(h), Width: int64(w), ContextTokens: int64(in.Context.Shape[1]),
		Sample: in.Sample.Data, Timesteps: in.Timesteps, Context: in.Context.Data, Pooled: in.Pooled.Data, SizeIDs: in.SizeIDs.Data,
		Hint: in.Hint.Data, HintBatch: int64(in.Hint.Shape[0]), Scales: in.Scales,
		ResidualRows: int64(rows), FirstRow: int64(in.FirstRow), ControlType: int32(in.Type),
	}, nil
}

// Upscale enlarges pixels [N, 3, H, W] in [0, 1] to [N, 3, Scale*H, Scale*W], not clamped.
func (m *Model) Upscale(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	const op = OpUpscale
	if err := m.require(op, upscaler); err != nil {
		return backend.Tensor{}, err
	}
	if err := checkTensor(op, "pixels", pixels, anySize, 3, anySize, anySize); err != nil {
		return backend.Tensor{}, err
	}
	n, h, w, u := pixels.Shape[0], pixels.Shape[2], pixels.Shape[3], m.info.Upscaler
	if u.Multiple > 1 && (h%u.Multiple != 0 || w%u.Multiple != 0) {
		return backend.Tensor{}, invalid(op, "pixels", "%d x %d (W x H) are not multiples of %d", w, h, u.Multiple)
	}
	if _, ok := product(n, 3, h, u.Scale, w, u.Scale); !ok {
		return backend.Tensor{}, invalid(op, "pixels", "of shape %v make more pixels than can be", pixels.Shape)
	}
	out, err := newTensor(op, n, 3, h*u.Scale, w*u.Scale)
	if err != nil {
		return out, err
	}
	err = m.run(ctx, op, func() error { return m.handle.Upscale(int64(n), int64(h), int64(w), pixels.Data, out.Data) })
	if err != nil {
		return backend.Tensor{}, err
	}
	return out, nil
}
