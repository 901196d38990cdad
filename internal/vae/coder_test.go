package vae

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// onGPU is the fake as if its VAE were on a GPU.
type onGPU struct{ backend.Model }

func (g onGPU) Info() backend.ModelInfo {
	info := g.Model.Info()
	for i := range info.Components {
		info.Components[i].Device = "vulkan:0"
	}
	return info
}

// badGPU is a backend whose GPU's VAEs are never finite: a driver may round to half precision whatever it is given.
type badGPU struct {
	backend.Backend
	opened *[]string
}

func (b badGPU) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	*b.opened = append(*b.opened, cfg.Device)
	gpu := cfg.Device != "cpu"
	cfg.Device = "cpu"
	m, err := b.Backend.Open(ctx, cfg)
	if gpu && err == nil {
		return faulty{onGPU{m}, float32(math.Inf(1))}, nil
	}
	return m, err
}

func TestCoderRepeatsOnTheCPU(t *testing.T) {
	latents := random(1, 4, 4, 4)
	for _, c := range []struct {
		wrap   func(backend.Model) backend.Model
		opened []string
	}{
		{func(m backend.Model) backend.Model { return onGPU{half{m}} }, []string{"vulkan:0", "cpu"}},
		{func(m backend.Model) backend.Model { return onGPU{m} }, []string{"cpu"}}, // in F32 already
	} {
		fakes := &fake.Backend{}
		m := open(t, fakes, backend.ModelConfig{Precision: backend.PrecisionExact})
		var opened []string
		cache := NewCache(badGPU{fakes, &opened})
		coder := NewCoder(faulty{c.wrap(m), float32(math.NaN())}, cache, backend.ModelConfig{Device: "vulkan:0"})
		want, err := m.DecodeLatents(t.Context(), latents)
		require.NoError(t, err)
		for i := range 2 {
			got, err := coder.Decode(t.Context(), Policy{}, latents)
			require.NoError(t, err)
			assert.Equal(t, want.Data, got.Data)
			assert.Empty(t, got.Fault)
			if i == 0 {
				assert.Contains(t, got.Warning("picture 0"), "repeated in F32 on the CPU. vae_device cpu avoids that")
			} else {
				assert.Empty(t, got.Warning("picture 0"), "what a repeat needed is used at once, and that was said")
			}
		}
		assert.Equal(t, c.opened, opened)
		coder.Close()
		require.NoError(t, cache.Close())
	}
}

// reaching is a GPU whose kernels reach pictures of so many cells.
type reaching struct {
	onGPU
	cells int
}

func (r reaching) Transfers() (backend.TransferStats, error) { return backend.TransferStats{}, nil }

func (r reaching) Nodes(q backend.ComputeQuery) ([]backend.NodeGroup, error) {
	height, width := q.Height, q.Width
	if q.Stage == backend.StageVAEEncode {
		unit := r.Info().VAE.Downscale
		height, width = height/unit, width/unit
	}
	return []backend.NodeGroup{{Op: "ADD", Supported: true}, {Op: "IM2COL", Supported: height*width <= r.cells}}, nil
}

func TestTilesReach(t *testing.T) {
	m := open(t, &fake.Backend{}, backend.ModelConfig{})
	unit := m.Info().VAE.Downscale
	side := 1024 / unit
	small, err := Policy{}.PlanDecode(reaching{onGPU{m}, 300 * 300 / unit / unit}, 1, 384/unit, 384/unit)
	require.NoError(t, err)
	assert.Greater(t, small.Tiles, 1, "a picture that one tile of the usual size would cover")
	for _, c := range []struct {
		tiling      Switch
		most, tiles int // pixels a side that the device reaches; pixels a side of the tiles, 0: none
	}{
		{Auto, 1024, 0}, {Auto, 1023, 416}, {Auto, 416, 416}, {Auto, 415, 328}, {Auto, 300, 256}, {On, 300, 256}, {On, 1024, 416}, {Off, 300, 0},
		{Auto, 8, 256}, // nothing helps: the library's error names the limit
	} {
		gpu := reaching{onGPU{m}, c.most * c.most / unit / unit}
		for name, plan := range map[string]func() (Plan, error){
			"decoding": func() (Plan, error) { return Policy{Tiling: c.tiling}.PlanDecode(gpu, 1, side, side) },
			"encoding": func() (Plan, error) { return Policy{Tiling: c.tiling}.PlanEncode(gpu, 1, 1024, 1024) },
		} {
			got, err := plan()
			require.NoError(t, err)
			height, width := got.TileSize()
			assert.Equal(t, []int{c.tiles, c.tiles}, []int{height * unit, width * unit}, "%s %+v", name, c)
		}
	}
}
