package native

import (
	"context"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// EncodeHint maps a ControlNet's picture, pixels [N, 3, H, W] in [0, 1], to [N, ModelChannels, H/8, W/8]. H and W are multiples
// of HintDownscale.
func (m *Model) EncodeHint(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	c := m.info.Control
	return m.transform(ctx, OpEncodeHint, "controlnet", pixels, func() (backend.Tensor, error) {
		return contract.Smaller(pixels, c.HintChannels, c.HintDownscale, m.info.UNet.ModelChannels)
	}, m.handle.ControlHint)
}

// ControlNet evaluates the ControlNet once and adds its scaled residuals to rows of residuals. They must not overlap any of in.
func (m *Model) ControlNet(ctx context.Context, in backend.ControlInput, residuals []float32) error {
	if err := m.require(OpControlNet, "controlnet"); err != nil {
		return err
	}
	rows, err := contract.ControlNet(m.info, in, len(residuals))
	if err != nil {
		return argument(OpControlNet, err)
	}
	native := bindings.ControlInput{
		Batch: int64(in.Sample.Shape[0]), Height: int64(in.Sample.Shape[2]), Width: int64(in.Sample.Shape[3]),
		ContextTokens: int64(in.Context.Shape[1]),
		Sample:        in.Sample.Data, Timesteps: in.Timesteps, Context: in.Context.Data, Pooled: in.Pooled.Data, SizeIDs: in.SizeIDs.Data,
		Hint: in.Hint.Data, HintBatch: int64(in.Hint.Shape[0]), Scales: in.Scales,
		ResidualRows: int64(rows), FirstRow: int64(in.FirstRow), ControlType: int32(in.Type),
	}
	return m.run(ctx, OpControlNet, func() error { return m.handle.ControlEval(native, residuals) })
}

// Upscale enlarges pixels [N, 3, H, W] in [0, 1] to [N, 3, Scale*H, Scale*W], not clamped.
func (m *Model) Upscale(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	u := m.info.Upscaler
	return m.transform(ctx, OpUpscale, "upscaler", pixels, func() (backend.Tensor, error) {
		return contract.Larger("pixels", pixels, 3, u.Multiple, u.Scale)
	}, m.handle.Upscale)
}
