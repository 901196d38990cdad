package bindings_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// These tests run the real library, which `make` builds first; without it they fail, with the list of
// what was tried.

func library(t *testing.T) *bindings.Library {
	t.Helper()
	lib, err := bindings.Load(bindings.Options{})
	require.NoError(t, err)
	return lib
}

func nanoParams(t *testing.T) bindings.ModelParams {
	t.Helper()
	path, err := nano.Path(t.Context())
	require.NoError(t, err)
	config := &bindings.ModelConfig{}
	config.UNetNormNumGroups, config.VAENormNumGroups, config.UNetAttentionHeadDim = 4, 2, 64
	model, err := modelfile.ReadModel(backend.Files{Model: path})
	require.NoError(t, err)
	table, err := model.Table()
	require.NoError(t, err)
	var weights []bindings.Weight
	for _, w := range table.Weights {
		number, _ := modelfile.DType(strings.ToUpper(string(w.Type))).GGML()
		weights = append(weights, bindings.Weight{Name: w.Name, Stored: w.Stored, Type: int32(number),
			Offset: w.Offset, Bytes: w.Bytes, Shape: w.Shape, Strides: w.Strides})
	}
	return bindings.ModelParams{
		Files: []bindings.File{{Path: path}}, Weights: weights,
		Config: config, Device: "cpu", Precision: 1,
	}
}

func openNano(t *testing.T) *bindings.Model {
	t.Helper()
	lib := library(t)
	m, err := lib.OpenModel(nanoParams(t))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, m.Close())
		require.Zero(t, lib.LiveHandles())
		require.Zero(t, lib.NativeLiveHandles())
	})
	require.Equal(t, lib.LiveHandles(), lib.NativeLiveHandles())
	return m
}

func requireFinite(t *testing.T, values []float32) {
	t.Helper()
	var sum float64
	for i, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			t.Fatalf("element %d is %v", i, v)
		}
		sum += math.Abs(float64(v))
	}
	require.NotZero(t, sum)
}

func noise(n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(math.Sin(float64(i) * 12.9898))
	}
	return s
}

func TestLibraryIsTheOneThatWasBuilt(t *testing.T) {
	lib := library(t)
	info := lib.BuildInfo()
	require.Contains(t, bindings.Variants, info.Variant.String())
	require.NotEmpty(t, info.Version.String())
	require.NotEmpty(t, info.Engine.String())
	require.NotEmpty(t, info.Compiler.String())
	require.NotEmpty(t, info.CPUFeatures.String())
	require.EqualValues(t, 1, info.CPUSupported)
	require.NotEmpty(t, lib.Attempts())
}

func TestLibraryDevices(t *testing.T) {
	devices, err := library(t).Devices()
	require.NoError(t, err)
	require.NotEmpty(t, devices)
	cpus := 0
	for _, d := range devices {
		require.NotEmpty(t, d.ID.String())
		require.NotEmpty(t, d.Description.String())
		require.Positive(t, d.TotalBytes, d.ID.String())
		require.LessOrEqual(t, d.FreeBytes, d.TotalBytes, d.ID.String())
		if d.ID.String() == "cpu" {
			cpus++
			require.Equal(t, "cpu", bindings.DeviceKinds[d.Kind])
		}
	}
	require.Equal(t, 1, cpus)
	_, err = library(t).Device(int32(len(devices)))
	require.ErrorIs(t, err, bindings.ErrArgument)
}

func TestLibraryTokenize(t *testing.T) {
	for text, want := range map[string][]int32{
		"":                        {},
		"a red circle":            {320, 736, 7117},
		"a photo of a cat":        {320, 1125, 539, 320, 2368},
		"a photo \n\tof  a cat  ": {320, 1125, 539, 320, 2368},
	} {
		ids, err := library(t).Tokenize(text)
		require.NoError(t, err)
		require.Equal(t, want, ids, text)
	}
	_, err := library(t).Tokenize("\xff\xfe")
	require.ErrorIs(t, err, bindings.ErrArgument)
}

func TestLibraryOpenErrors(t *testing.T) {
	lib := library(t)
	params := nanoParams(t)
	params.Files = []bindings.File{{Path: t.TempDir() + "/nowhere.safetensors"}}
	_, err := lib.OpenModel(params)
	require.ErrorIs(t, err, bindings.ErrFile)
	require.ErrorContains(t, err, "nowhere.safetensors")

	params = nanoParams(t)
	params.Device = "abacus:0"
	_, err = lib.OpenModel(params)
	require.ErrorIs(t, err, bindings.ErrDevice)

	params = nanoParams(t)
	params.Cancel = new(int32)
	atomic.StoreInt32(params.Cancel, 1)
	_, err = lib.OpenModel(params)
	require.ErrorIs(t, err, bindings.ErrCancelled)
	require.Zero(t, lib.NativeLiveHandles())
}

// TestLibraryComputes runs every operation once on the nano model.
func TestLibraryComputes(t *testing.T) {
	m := openNano(t)
	info := m.Info()
	require.Equal(t, "sdxl-base", bindings.Kinds[info.Kind])
	require.Equal(t, "exact", bindings.Precisions[info.Precision])
	require.NotEmpty(t, info.PrecisionReason.String())
	for _, c := range info.Components[:5] { // the others are models of their own
		require.EqualValues(t, 1, c.Loaded)
		require.Positive(t, c.ParameterBytes)
	}

	ids := make([]int32, 77)
	for i := range ids {
		ids[i] = 49407
	}
	copy(ids, []int32{49406, 320, 736, 7117})
	var hidden [2][]float32
	var pooled []float32
	for encoder, text := range []bindings.TextInfo{info.TextEncoder, info.TextEncoder2} {
		hidden[encoder] = make([]float32, 77*text.Width)
		if encoder == 1 {
			pooled = make([]float32, text.ProjectionDim)
		}
		in := bindings.TextInput{Encoder: int32(encoder), Chunks: 1, Tokens: 77, IDs: &ids[0]}
		require.NoError(t, m.TextEncode(in, nil, hidden[encoder], pooled))
		requireFinite(t, hidden[encoder])
	}
	requireFinite(t, pooled)
	require.Equal(t, info.UNet.ContextDim, info.TextEncoder.Width+info.TextEncoder2.Width)
	require.Equal(t, info.UNet.PooledDim, int64(len(pooled)))

	in, out := unetArguments(info, 2, 4, 4)
	in.Pooled = &append(pooled, make([]float32, len(pooled))...)[0]
	require.NoError(t, m.UNetEval(in, nil, nil, nil, nil, out))
	requireFinite(t, out)
	held, err := m.ComputeHeld()
	require.NoError(t, err)
	size, err := m.ComputeSize(bindings.ComputeQuery{Stage: 2, Batch: 2, Height: 4, Width: 4, ContextTokens: 77})
	require.NoError(t, err)
	require.Positive(t, size)
	require.Equal(t, size, held)
	require.NoError(t, m.ComputeRelease())
	held, err = m.ComputeHeld()
	require.NoError(t, err)
	require.Zero(t, held)

	side, cells := 4*info.VAE.Downscale, info.VAE.LatentChannels*4*4
	pixels := make([]float32, 3*side*side)
	require.NoError(t, m.VAEDecode(1, 4, 4, noise(int(cells)), pixels))
	requireFinite(t, pixels)
	moments := make([]float32, 2*cells)
	require.NoError(t, m.VAEEncode(1, side, side, pixels, moments))
	requireFinite(t, moments)
}

func unetArguments(info bindings.ModelInfo, batch, height, width int) (bindings.UNetInput, []float32) {
	u := info.UNet
	return bindings.UNetInput{
		Batch: int64(batch), Height: int64(height), Width: int64(width), ContextTokens: 77,
		Sample:    bindings.Pointer(noise(batch * int(u.InChannels) * height * width)),
		Timesteps: bindings.Pointer(slices.Repeat([]float32{500}, batch)),
		Context:   bindings.Pointer(noise(batch * 77 * int(u.ContextDim))),
		Pooled:    bindings.Pointer(noise(batch * int(u.PooledDim))),
		SizeIDs:   &make([]float32, batch*int(u.SizeIDs))[0],
	}, make([]float32, batch*int(u.OutChannels)*height*width)
}

// TestLibraryCancel stops a long evaluation, and uses the model again.
func TestLibraryCancel(t *testing.T) {
	m := openNano(t)
	in, out := unetArguments(m.Info(), 1, 128, 128)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	set := make(chan time.Time, 1)
	context.AfterFunc(ctx, func() {
		at := time.Now()
		_ = m.SetCancel(true)
		set <- at
	})
	require.ErrorIs(t, m.UNetEval(in, nil, nil, nil, nil, out), bindings.ErrCancelled)
	t.Logf("stopped %v after the flag was set", time.Since(<-set))
	small, smallOut := unetArguments(m.Info(), 1, 4, 4)
	require.ErrorIs(t, m.UNetEval(small, nil, nil, nil, nil, smallOut), bindings.ErrCancelled)
	require.NoError(t, m.SetCancel(false))
	require.NoError(t, m.UNetEval(small, nil, nil, nil, nil, smallOut))
	requireFinite(t, smallOut)
}

func TestLibraryLogs(t *testing.T) {
	lib := library(t)
	var lines atomic.Int64
	require.NoError(t, lib.SetLog(0, func(_ int32, text string) {
		if text != "" {
			lines.Add(1)
		}
	}))
	openNano(t)
	require.NoError(t, lib.SetLog(0, nil))
	require.Positive(t, lines.Load())
}
