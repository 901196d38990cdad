package native

import (
	"context"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

var _ backend.ResidualModel = (*Model)(nil)

// residuals stay on the device of a model's UNet.
type residuals struct {
	model  *Model
	handle *bindings.Residuals
}

// NewResiduals implements [backend.ResidualModel].
func (m *Model) NewResiduals(rows, height, width int) (backend.Residuals, error) {
	r := &residuals{model: m}
	err := m.run(context.Background(), opResiduals, func() (err error) {
		r.handle, err = m.handle.NewResiduals(int64(rows), int64(height), int64(width))
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Clear implements [backend.Residuals].
func (r *residuals) Clear() error {
	return r.model.run(context.Background(), opResiduals, r.handle.Clear)
}

// Close implements [backend.Residuals].
func (r *residuals) Close() error {
	return r.model.run(context.Background(), opResiduals, r.handle.Free)
}

// residualsOf is the handle of residuals that a call was given; nil of none.
func residualsOf(op string, r backend.Residuals) (*bindings.Residuals, error) {
	if r == nil {
		return nil, nil
	}
	own, ok := r.(*residuals)
	if !ok {
		return nil, invalid(op, "on_device", "the residuals are of another backend")
	}
	return own.handle, nil
}
