package fake

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

var _ backend.FeatureModel = (*model)(nil)

// features remember what an evaluation predicted; one that reuses them predicts a mixture.
type features struct {
	backend *Backend
	model   *model
	what    string
	kept    []float32
	once    sync.Once
}

// NewFeatures implements [backend.FeatureModel].
func (m *model) NewFeatures(ctx context.Context) (backend.Features, error) {
	if m.closed.Load() {
		return nil, backend.ErrClosed
	}
	m.backend.features.Add(1)
	return &features{backend: m.backend, model: m}, ctx.Err()
}

// Close implements [backend.Features].
func (f *features) Close() error {
	f.once.Do(func() {
		f.backend.features.Add(-1)
		f.hold(0)
		f.what = ""
	})
	return nil
}

// LiveFeatures is the number of features that are not closed.
func (b *Backend) LiveFeatures() int64 { return b.features.Load() }

// hold makes room for n values.
func (f *features) hold(n int) {
	f.model.holds.change(func(s *backend.MemoryStats) { s.Compute += int64(n-len(f.kept)) * 4 })
	f.kept = make([]float32, n)
}

// check refuses what cannot be reused.
func (f *features) check(in backend.UNetInput) error {
	what := fmt.Sprint(in.Kept.Keep, in.Kept.Branch, in.Sample.Shape)
	if in.Kept.Use != backend.FeaturesStore && f.what != what {
		return contract.Invalid("features", "nothing is stored for %v; store first", in.Sample.Shape)
	}
	f.what = what
	return nil
}

// apply keeps or reuses what was predicted for in.
func (f *features) apply(in backend.UNetInput, out []float32) {
	switch in.Kept.Use {
	case backend.FeaturesStore:
		f.hold(len(out))
		copy(f.kept, out)
	case backend.FeaturesMean:
		for i, v := range out {
			f.kept[i] = (f.kept[i] + v) / 2
		}
	case backend.FeaturesReuse:
		share := float32(0.5)
		other := slices.Clone(out)
		if in.Kept.Keep == backend.KeepTextAttention {
			share = 0.1
			rows := in.Sample.Shape[0]
			for row, per := 0, len(out)/rows; row < rows; row++ { // nothing that the context has a part in
				copy(other[row*per:(row+1)*per], in.Sample.Data[row*len(in.Sample.Data)/rows:])
			}
		}
		for i := range out {
			out[i] = share*other[i] + (1-share)*f.kept[i]
		}
	}
}

// featuresOf is what an evaluation keeps; nil: nothing.
func (m *model) featuresOf(in backend.UNetInput) (*features, error) {
	if in.Kept == (backend.Kept{}) {
		return nil, nil
	}
	f, ok := in.Kept.Features.(*features)
	switch {
	case !ok || f.model != m:
		return nil, m.check(contract.Invalid("features", "were not made for this model"))
	default:
		return f, m.check(f.check(in))
	}
}
