package bindings

// Residuals are residuals of ControlNets on the device of a model's UNet. Their methods must not run beside calls that use them.
type Residuals struct {
	model  *Model
	handle uintptr
}

// NewResiduals returns zeros for so many rows of latents of height x width cells. The caller frees them before the model is closed.
func (m *Model) NewResiduals(rows, height, width int64) (*Residuals, error) {
	r := &Residuals{model: m}
	err := m.call("dg_residuals_new", func(model uintptr, msg *byte, size uintptr) int32 {
		return m.lib.fn.residualsNew(model, rows, height, width, &r.handle, msg, size)
	})
	if err != nil {
		return nil, err
	}
	m.lib.live.Add(1)
	return r, nil
}

// Clear sets them to zeros, for the next evaluation.
func (r *Residuals) Clear() error {
	handle, err := r.of("dg_residuals_clear")
	if err != nil {
		return err
	}
	return r.model.call("dg_residuals_clear", func(_ uintptr, msg *byte, size uintptr) int32 {
		return r.model.lib.fn.residualsClear(handle, msg, size)
	})
}

// Free frees them; it may be called again.
func (r *Residuals) Free() error {
	if r.handle == 0 {
		return nil
	}
	err := r.model.call("dg_residuals_free", func(_ uintptr, msg *byte, size uintptr) int32 {
		return r.model.lib.fn.residualsFree(&r.handle, msg, size)
	})
	if err == nil {
		r.model.lib.live.Add(-1)
	}
	return err
}

// of is the handle for a call, 0 of none.
func (r *Residuals) of(op string) (uintptr, error) {
	if r == nil {
		return 0, nil
	}
	if r.handle == 0 {
		return 0, argumentf(op, "the residuals are freed")
	}
	return r.handle, nil
}
