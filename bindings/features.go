package bindings

// Features are results of layers inside a model's UNet, which stay on its device. Its methods must not run beside the model's.
type Features struct {
	model  *Model
	handle uintptr
}

// NewFeatures makes room for features. The caller frees it before the model is closed.
func (m *Model) NewFeatures() (*Features, error) {
	f := &Features{model: m}
	err := m.call("dg_features_new", func(model uintptr, msg *byte, size uintptr) int32 {
		return m.lib.fn.featuresNew(model, &f.handle, msg, size)
	})
	if err != nil {
		return nil, err
	}
	m.lib.live.Add(1)
	return f, nil
}

// Free frees the features; it may be called again.
func (f *Features) Free() error {
	if f.handle == 0 {
		return nil
	}
	err := f.model.call("dg_features_free", func(_ uintptr, msg *byte, msgCap uintptr) int32 {
		return f.model.lib.fn.featuresFree(&f.handle, msg, msgCap)
	})
	if err == nil {
		f.model.lib.live.Add(-1)
	}
	return err
}
