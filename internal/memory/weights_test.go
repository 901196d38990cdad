package memory_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

func library(t *testing.T) *native.Backend {
	t.Helper()
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	return b
}

// nanoHyper is what a nano model's weights do not tell.
var nanoHyper = backend.Hyper{UNetNormNumGroups: 4, VAENormNumGroups: 2, UNetAttentionHeadDim: 64}

// multipliesBF16 reports whether this CPU does, for which the library then chooses BF16 by itself.
var multipliesBF16 = sync.OnceValues(func() (bool, error) {
	b, err := native.New(native.Options{})
	if err != nil {
		return false, err
	}
	path, err := nano.Path(context.Background())
	if err != nil {
		return false, err
	}
	m, err := b.Open(context.Background(), backend.ModelConfig{Files: backend.Files{Model: path}, Hyper: nanoHyper, Device: "cpu",
		Precision: backend.PrecisionAuto})
	if err != nil {
		return false, err
	}
	defer m.Close()
	return m.Info().Precision == backend.PrecisionBF16, nil
})

// requireWeights compares the estimate with what the library says it holds.
func requireWeights(t *testing.T, b *native.Backend, cfg backend.ModelConfig) {
	t.Helper()
	inventory, err := memory.Read(cfg.Files)
	require.NoError(t, err)
	m, err := b.Open(context.Background(), cfg)
	require.NoError(t, err)
	defer m.Close()
	bf16, err := multipliesBF16()
	require.NoError(t, err)
	info, seen := m.Info(), 0
	for _, want := range info.Components {
		c, ok := inventory.Component(want.Name)
		if !want.Opened {
			require.False(t, ok, "%s is in the inventory", want.Name)
			continue
		}
		seen++
		require.True(t, ok, "%s is not in the inventory", want.Name)
		asked := cfg.UNetType
		switch want.Name {
		case memory.TextEncoder, memory.TextEncoder2:
			asked = cfg.TextType
		case memory.VAEEncoder, memory.VAEDecoder:
			asked = cfg.VAEType
		}
		got := c.Bytes(memory.PolicyFor(info.Precision, asked, backend.DeviceCPU, bf16))
		assert.Equal(t, want.ParameterBytes, got.Parameters, "bytes of %s", want.Name)
		assert.Equal(t, want.Tensors, int64(len(c.Weights)), "tensors of %s", want.Name)
		assert.Equal(t, want.Type, got.Type, "type of %s", want.Name)
		assert.GreaterOrEqual(t, got.Allocated, got.Parameters)
	}
	require.Positive(t, seen)
}

func TestWeightsAreTheLibrarysBytes(t *testing.T) {
	b := library(t)
	path, err := nano.Path(t.Context())
	require.NoError(t, err)
	for _, precision := range []backend.Precision{backend.PrecisionExact, backend.PrecisionF16} {
		for _, typ := range backend.Types {
			t.Run(fmt.Sprintf("%s/%s", precision, typ), func(t *testing.T) {
				requireWeights(t, b, backend.ModelConfig{Files: backend.Files{Model: path}, Hyper: nanoHyper, Device: "cpu", Precision: precision,
					UNetType: typ, TextType: typ, VAEType: typ})
			})
		}
	}
}

func TestWeightsOfEveryKindAndLayout(t *testing.T) {
	b := library(t)
	dir := t.TempDir()
	for _, c := range []struct {
		kind   synth.Kind
		layout modelfile.Layout
		name   string
		files  func(path string) backend.Files
	}{
		{synth.KindNano, modelfile.LayoutOriginal, "base.safetensors", func(p string) backend.Files { return backend.Files{Model: p} }},
		{synth.KindNano, modelfile.LayoutDiffusers, "base-d.safetensors", func(p string) backend.Files { return backend.Files{Model: p} }},
		{synth.KindNanoRefiner, modelfile.LayoutOriginal, "refiner.safetensors", func(p string) backend.Files { return backend.Files{Model: p} }},
		{synth.KindNanoControl, modelfile.LayoutDiffusers, "control.safetensors",
			func(p string) backend.Files { return backend.Files{ControlNet: p} }},
		{synth.KindNanoUnion, modelfile.LayoutDiffusers, "union.safetensors",
			func(p string) backend.Files { return backend.Files{ControlNet: p} }},
		{synth.KindTAESD, modelfile.LayoutDiffusers, "taesd.safetensors", func(p string) backend.Files { return backend.Files{TAESD: p} }},
	} {
		path := filepath.Join(dir, c.name)
		require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: c.kind, Type: modelfile.F16, Layout: c.layout}))
		for _, typ := range []backend.Type{backend.TypeAuto, backend.TypeQ8_0, backend.TypeQ4_K} {
			t.Run(fmt.Sprintf("%s/%s", c.name, typ), func(t *testing.T) {
				requireWeights(t, b, backend.ModelConfig{Files: c.files(path), Hyper: nanoHyper, Device: "cpu", Precision: backend.PrecisionF16,
					UNetType: typ, TextType: typ, VAEType: typ})
			})
		}
	}
}

func TestPolicyKeepsWhatMustNotBeQuantized(t *testing.T) {
	p := memory.PolicyFor(backend.PrecisionF16, backend.TypeQ4_K, backend.DeviceCPU, false)
	for _, c := range []struct {
		w    memory.Weight
		typ  backend.Type
		size int64
	}{
		{memory.Weight{Use: backend.UseMatrix, In: 1024, Out: 3}, backend.TypeQ4_K, 3 * 4 * 144},
		{memory.Weight{Use: backend.UseMatrix, In: 320, Out: 2}, backend.TypeQ8_0, 2 * 10 * 34}, // 320 is no multiple of 256
		{memory.Weight{Use: backend.UseMatrix, In: 20, Out: 2}, backend.TypeF16, 80},
		{memory.Weight{Use: backend.UseSensitive, In: 1024, Out: 2}, backend.TypeF16, 4096},
		{memory.Weight{Use: backend.UseTable, In: 256, Out: 2}, backend.TypeF16, 1024},
		{memory.Weight{Use: backend.UseVector, In: 7, Out: 1}, backend.TypeF32, 28},
		{memory.Weight{Use: backend.UseConv, In: 3, Out: 3, Kernel: 3}, backend.TypeF16, 9 * 3 * 16 * 2},
	} {
		assert.Equal(t, c.typ, p.Type(c.w), "%+v", c.w)
		assert.Equal(t, c.size, p.Bytes(c.w), "%+v", c.w)
	}
	gpu := memory.PolicyFor(backend.PrecisionF16, backend.TypeQ4_K, backend.DeviceGPU, false)
	assert.Equal(t, int64(9*3*3*2), gpu.Bytes(memory.Weight{Use: backend.UseConv, In: 3, Out: 3, Kernel: 3}), "GPUs pad nothing")
	tiles := memory.PolicyFor(backend.PrecisionBF16, backend.TypeAuto, backend.DeviceCPU, true)
	assert.Equal(t, int64(9*32*16*2), tiles.Bytes(memory.Weight{Use: backend.UseConv, In: 3, Out: 3, Kernel: 3}), "BF16 tiles are 16 x 32")
}
