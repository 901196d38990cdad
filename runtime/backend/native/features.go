package native

import (
	"context"
	"sync"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

var _ backend.FeatureModel = (*Model)(nil)

// features are results of layers inside the UNet of a model.
type features struct {
	model  *Model
	handle *bindings.Features
	once   sync.Once
	err    error
}

// NewFeatures implements [backend.FeatureModel].
func (m *Model) NewFeatures(ctx context.Context) (backend.Features, error) {
	f := &features{model: m}
	err := m.run(ctx, opFeatures, func() (err error) {
		f.handle, err = m.handle.NewFeatures()
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Close implements [backend.Features].
func (f *features) Close() error {
	f.once.Do(func() { f.err = f.model.run(context.Background(), opFeatures, f.handle.Free) })
	return f.err
}

// keep puts what an evaluation keeps into the library's terms.
func (m *Model) keep(in *bindings.UNetInput, k backend.Kept) (*bindings.Features, error) {
	if k == (backend.Kept{}) {
		return nil, nil
	}
	f, ok := k.Features.(*features)
	if !ok || f.model != m {
		return nil, invalid(opUNet, "features", "were not made for this model")
	}
	in.Keep, in.FeaturesUse, in.Branch = number(bindings.Keeps, k.Keep), number(bindings.FeatureUses, k.Use), int64(k.Branch)
	return f.handle, nil
}
