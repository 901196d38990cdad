//go:build !race

package pipeline

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// noisyBackend computes exactly, and adds noise to what the UNet predicts: as much as Q8_0 is off in the same evaluation. Each row has a
// direction of its own, which is the same in all evaluations, as weights are rounded once for all.
type noisyBackend struct {
	backend.Backend
	seed uint64  // 0: no noise
	off  float64 // the largest relative error of Q8_0 in one row
}

func (d *noisyBackend) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	exact, err := d.Backend.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	cfg.Precision, cfg.UNetType = backend.PrecisionF16, backend.TypeQ8_0
	rounded, err := d.Backend.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &noisyModel{exact, rounded, d}, nil
}

type noisyModel struct {
	backend.Model
	rounded backend.Model
	of      *noisyBackend
}

func (m *noisyModel) Close() error {
	_ = m.rounded.Close()
	return m.Model.Close()
}

func (m *noisyModel) UNet(ctx context.Context, in backend.UNetInput, out []float32) error {
	if err := m.rounded.UNet(ctx, in, out); err != nil {
		return err
	}
	rounded := slices.Clone(out)
	if err := m.Model.UNet(ctx, in, out); err != nil {
		return err
	}
	per := len(out) / in.Sample.Shape[0]
	for from := 0; from < len(out); from += per {
		row, square, norm := out[from:from+per], 0.0, 0.0
		for i, v := range row {
			square += math.Pow(float64(rounded[from+i]-v), 2)
			norm += float64(v) * float64(v)
		}
		m.of.off = max(m.of.off, math.Sqrt(square/norm))
		if m.of.seed == 0 {
			continue
		}
		rng := rand.New(rand.NewPCG(m.of.seed, uint64(from)))
		for i := range row {
			row[i] += float32(rng.NormFloat64() * math.Sqrt(square/float64(per)))
		}
	}
	return nil
}

// TestRegionsThatContradict: where regions overlap and contradict each other, small errors grow. Q8_0 is off as little in each evaluation
// as with prompts that agree. In exact precision noise of that size changes the picture as much: by less than 40 dB with prompts that
// contradict each other, and by more with prompts that agree. make combinations tries three kinds of noise, make test one.
func TestRegionsThatContradict(t *testing.T) {
	t.Parallel()
	seeds := uint64(1)
	if os.Getenv("DAGUERRE_COMBINATIONS") == "all" {
		seeds = 3
	}
	lib, err := native.New(native.Options{})
	require.NoError(t, err)
	contradict := readRegions(t, "region_overlap")
	agree := contradict
	agree.Regions = slices.Clone(agree.Regions)
	for i := range agree.Regions {
		agree.Regions[i].Prompt = agree.Prompt
	}
	type loss struct{ off, q8, noise float64 }
	measured := map[string]loss{}
	for name, r := range map[string]request.Request{"contradict": contradict, "agree": agree} {
		made := func(seed uint64) (Image, float64) {
			d := &noisyBackend{Backend: lib, seed: seed}
			p, err := Open(t.Context(), Config{Model: NanoModel, Device: "cpu", Threads: 1, Precision: backend.PrecisionExact}, WithBackend(d))
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			return generate(t, p, r).Images[0], d.off
		}
		exact, off := made(0)
		p, err := Open(t.Context(), Config{Model: NanoModel, Device: "cpu", Threads: 1, Precision: backend.PrecisionF16, Type: backend.TypeQ8_0})
		require.NoError(t, err)
		l := loss{off: off, q8: psnr(t, exact.NRGBA, generate(t, p, r).Images[0].NRGBA), noise: math.Inf(1)}
		require.NoError(t, p.Close())
		for seed := range seeds {
			noisy, _ := made(seed + 1)
			l.noise = min(l.noise, psnr(t, exact.NRGBA, noisy.NRGBA))
		}
		t.Logf("%-10s one evaluation with q8_0 is off by %.2g at most; the picture after 8 steps: q8_0 %.1f dB, noise of that size %.1f dB", name,
			l.off, l.q8, l.noise)
		measured[name] = l
	}
	a, c := measured["agree"], measured["contradict"]
	assert.Less(t, c.off, 1.5*a.off, "each evaluation is as exact")
	assert.Greater(t, a.q8, 40.0)
	assert.Greater(t, a.noise, 40.0)
	assert.Less(t, c.noise, 40.0, "noise alone does it, in exact precision")
	assert.InDelta(t, c.noise, c.q8, 6, "Q8_0 does what noise of its size does")
}
