package fake

import (
	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// residuals are kept in memory.
type residuals struct {
	model        *model
	rows, height int
	values       []float32 // nil: closed
}

// NewResiduals implements [backend.ResidualModel].
func (m *model) NewResiduals(rows, height, width int) (backend.Residuals, error) {
	if err := m.check(contract.Need(m.info, "unet")); err != nil {
		return nil, err
	}
	return &residuals{m, rows, height, make([]float32, m.info.UNet.ResidualCount(rows, height, width))}, nil
}

// Clear implements [backend.Residuals].
func (r *residuals) Clear() error {
	clear(r.values)
	return nil
}

// Close implements [backend.Residuals].
func (r *residuals) Close() error {
	r.values = nil
	return nil
}

// onDevice returns the values of residuals that a call was given.
func onDevice(u backend.UNetInfo, in backend.Residuals, rows int, sample backend.Tensor) ([]float32, error) {
	h, w := sample.Shape[2], sample.Shape[3]
	r, ok := in.(*residuals)
	if !ok || r.rows != rows || r.height != h || len(r.values) != u.ResidualCount(rows, h, w) {
		return nil, contract.Invalid("on_device", "they are not of %d rows of %d x %d cells", rows, w, h)
	}
	return r.values, nil
}
