package native_test

import (
	"context"
	"encoding/binary"
	"math"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// everyResidency is a configuration with all components in one residency.
func everyResidency(cfg backend.ModelConfig, r backend.Residency, window int64) backend.ModelConfig {
	cfg.TextResidency, cfg.UNetResidency, cfg.VAEResidency, cfg.StreamBytes = r, r, r, window
	return cfg
}

func openModel(t *testing.T, b *native.Backend, cfg backend.ModelConfig) *native.Model {
	t.Helper()
	m, err := b.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m.(*native.Model)
}

// raw is a tensor of small values that differ.
func raw(shape ...int) backend.RawTensor {
	x := backend.RawTensor{Shape: shape, Type: backend.TypeF32}
	for i := range backend.Count(shape...) {
		x.Data = binary.LittleEndian.AppendUint32(x.Data, math.Float32bits(0.01*float32(i%7-3)))
	}
	return x
}

// adapters loads one adapter with a low-rank change of every linear layer and convolution of the UNet and a text encoder.
func adapters(t *testing.T, m *native.Model) []backend.LoRAUse {
	t.Helper()
	var targets []backend.LoRATarget
	for _, x := range m.Modules() {
		if x.Component != "unet" && x.Component != "text_encoder" {
			continue
		}
		switch x.Kind {
		case backend.ModuleLinear:
			targets = append(targets, backend.LoRATarget{Module: x.Name, Form: backend.LoRALowRank, A: raw(2, x.In), B: raw(x.Out, 2), Scale: 1})
		case backend.ModuleConv2D:
			targets = append(targets, backend.LoRATarget{Module: x.Name, Form: backend.LoRALowRank, A: raw(2, x.In, x.Kernel, x.Kernel),
				B: raw(x.Out, 2, 1, 1), Scale: 1})
		}
	}
	l, err := m.LoadLoRA(t.Context(), targets)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	weights := make([]float32, len(targets))
	for i := range weights {
		weights[i] = 0.5
	}
	return []backend.LoRAUse{{LoRA: l, Weights: weights}}
}

// everything runs every operation: texts, the UNet alone and in a batch with residuals and adapters, twice, the VAE whole and in parts.
func everything(t *testing.T, m *native.Model, loras []backend.LoRAUse) map[string][]float32 {
	t.Helper()
	ctx, out := t.Context(), map[string][]float32{}
	ids := padded([]int32{320, 1125, 539})
	for encoder, name := range []string{"text", "text 2"} {
		text, err := m.EncodeText(ctx, backend.TextInput{Encoder: encoder, IDs: ids, LoRAs: loras})
		require.NoError(t, err)
		out[name] = append(text.Hidden.Data, text.Pooled.Data...)
	}
	in, one := unetInput(m.Info(), 1, 8, 8)
	require.NoError(t, m.UNet(ctx, in, one))
	out["unet"] = one
	in, two := unetInput(m.Info(), 2, 8, 6)
	in.LoRAs = loras
	in.Residuals = noise(m.Info().UNet.ResidualCount(2, 8, 6)).Data
	require.NoError(t, m.UNet(ctx, in, two))
	out["unet, batch"] = append([]float32(nil), two...)
	require.NoError(t, m.UNet(ctx, in, two))
	out["unet, again"] = two
	pixels, err := m.DecodeLatents(ctx, noise(1, 4, 4, 6))
	require.NoError(t, err)
	out["decode"] = pixels.Data
	moments, err := m.EncodeImage(ctx, pixels)
	require.NoError(t, err)
	out["encode"] = moments.Data
	features, _, err := m.RunVAEPart(ctx, backend.VAEPartInput{Stage: backend.StageVAEDecodeMiddle, Input: noise(1, 4, 4, 4)})
	require.NoError(t, err)
	out["part"] = features.Data
	return out
}

var neededBytes = regexp.MustCompile(`needs, (\d+)`)

// leastWindow is what the library says of a window that is too small, once for each component.
func leastWindow(t *testing.T, b *native.Backend, cfg backend.ModelConfig) int64 {
	t.Helper()
	window := int64(1)
	for range 6 {
		m, err := b.Open(t.Context(), everyResidency(cfg, backend.ResidencyStream, window))
		if err == nil {
			require.NoError(t, m.Close())
			return window
		}
		require.ErrorIs(t, err, backend.ErrArgument)
		found := neededBytes.FindStringSubmatch(err.Error())
		require.Len(t, found, 2, err.Error())
		more, err := strconv.ParseInt(found[1], 10, 64)
		require.NoError(t, err)
		require.Greater(t, more, window)
		window = more
	}
	t.Fatal("no window is enough")
	return 0
}

func TestResultsDoNotDependOnResidency(t *testing.T) {
	b, cfg := nanoBackend(t)
	for _, precision := range []backend.Precision{backend.PrecisionExact, backend.PrecisionF16} {
		cfg.Precision = precision
		resident := openModel(t, b, cfg)
		want := everything(t, resident, adapters(t, resident))
		compute := resident.MemoryStats().ComputePeak
		least := leastWindow(t, b, cfg)
		all := resident.MemoryStats()
		configs := map[string]backend.ModelConfig{
			"on demand":             everyResidency(cfg, backend.ResidencyOnDemand, 0),
			"mapped":                everyResidency(cfg, backend.ResidencyMmap, 0),
			"streamed":              everyResidency(cfg, backend.ResidencyStream, 0),
			"streamed, least":       everyResidency(cfg, backend.ResidencyStream, least),
			"streamed, twice least": everyResidency(cfg, backend.ResidencyStream, 2*least),
			"streamed, some":        everyResidency(cfg, backend.ResidencyStream, least+least/3),
		}
		if precision == backend.PrecisionExact {
			configs = map[string]backend.ModelConfig{"streamed, some": configs["streamed, some"]}
		}
		for name, c := range configs {
			t.Run(string(precision)+", "+name, func(t *testing.T) {
				m := openModel(t, b, c)
				require.Zero(t, m.MemoryStats().Total)
				loras := adapters(t, m)
				assert.Equal(t, want, everything(t, m, loras))
				stats := m.MemoryStats()
				assert.Equal(t, compute, stats.ComputePeak)
				for i, held := range stats.Components {
					whole := all.Components[i]
					require.True(t, held.Loaded)
					switch c.UNetResidency {
					case backend.ResidencyOnDemand:
						assert.Equal(t, whole.Weights, held.Weights, held.Name)
					case backend.ResidencyMmap:
						assert.InDelta(t, whole.Weights, held.Weights+held.Mapped, 70000, held.Name) // what alignment adds
					case backend.ResidencyStream:
						if c.StreamBytes > 0 {
							assert.LessOrEqual(t, held.WeightsPeak, c.StreamBytes+400<<10, held.Name) // with biases and norms
						}
					}
				}
				require.NoError(t, m.Unload())
				assert.Equal(t, stats.Adapters, m.MemoryStats().Total, "nothing else is held")
				assert.Equal(t, want, everything(t, m, loras), "after it was unloaded")
			})
		}
	}
}

// TestMemoryComesBack: what Unload frees goes back to the system.
func TestMemoryComesBack(t *testing.T) {
	b, cfg := nanoBackend(t)
	m := openModel(t, b, everyResidency(cfg, backend.ResidencyOnDemand, 0))
	require.NoError(t, m.Load(t.Context()))
	require.NoError(t, m.Unload()) // the heap has its size
	before := residentBytes(t)
	require.NoError(t, m.Load(t.Context()))
	loaded := residentBytes(t)
	weights := m.MemoryStats().Total
	require.NoError(t, m.Unload())
	after := residentBytes(t)
	require.InDelta(t, weights, loaded-before, float64(weights)/5)
	require.Less(t, after-before, weights/20)
}

// TestMappedTensorsAreNotCopied: in the file's own type, the matrices stay in the file.
func TestMappedTensorsAreNotCopied(t *testing.T) {
	b, cfg := nanoBackend(t)
	cfg.Precision = backend.PrecisionF16
	m := openModel(t, b, everyResidency(cfg, backend.ResidencyMmap, 0))
	require.NoError(t, m.Load(t.Context()))
	c := m.Info().Components[0]
	require.Equal(t, c.FileType, c.Type)
	require.Greater(t, c.MappedBytes, c.ParameterBytes*9/10)
	require.Less(t, c.ResidentBytes, c.ParameterBytes/10)
}

func TestStreamingRefusesToQuantizeInEveryPass(t *testing.T) {
	b, cfg := nanoBackend(t)
	cfg.UNetType, cfg.UNetResidency = backend.TypeQ4_0, backend.ResidencyStream
	_, err := b.Open(t.Context(), cfg)
	require.ErrorIs(t, err, backend.ErrUnsupported)
	require.ErrorContains(t, err, "daguerre models convert IN OUT --type q4_0")
	cfg.UNetType = backend.TypeBF16
	m := openModel(t, b, cfg)
	in, out := unetInput(m.Info(), 1, 4, 4)
	require.NoError(t, m.UNet(t.Context(), in, out))
}

func TestStreamingIsCancelledAndGoesOn(t *testing.T) {
	b, cfg := nanoBackend(t)
	m := openModel(t, b, everyResidency(cfg, backend.ResidencyStream, leastWindow(t, b, cfg)))
	in, want := unetInput(m.Info(), 1, 8, 8)
	require.NoError(t, m.UNet(t.Context(), in, want))
	cancelled := 0
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*500*time.Microsecond)
		if err := m.UNet(ctx, in, make([]float32, len(want))); err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancelled++
		}
		cancel()
	}
	require.Positive(t, cancelled)
	out := make([]float32, len(want))
	require.NoError(t, m.UNet(t.Context(), in, out))
	require.Equal(t, want, out)
}

// TestEveryAllocationMayFail lets each allocation of a run fail in turn, and then random ones: the error is out of memory, and
// the same call succeeds afterwards with the same result.
func TestEveryAllocationMayFail(t *testing.T) {
	b, cfg := nanoBackend(t)
	defer func() { _, _ = b.FailAllocations(0, 0, 0) }()
	for _, r := range []backend.Residency{backend.ResidencyOnDemand, backend.ResidencyStream} {
		m := openModel(t, b, everyResidency(cfg, r, 0))
		run := func() ([]float32, error) {
			in, out := unetInput(m.Info(), 1, 4, 4)
			if err := m.UNet(t.Context(), in, out); err != nil {
				return nil, err
			}
			pixels, err := m.DecodeLatents(t.Context(), noise(1, 4, 2, 2))
			return append(out, pixels.Data...), err
		}
		_, err := b.FailAllocations(0, 0, 0)
		require.NoError(t, err)
		want, err := run()
		require.NoError(t, err)
		n, err := b.FailAllocations(0, 0, 0)
		require.NoError(t, err)
		require.GreaterOrEqual(t, n, int64(4), "weights and compute buffers of two components")
		for i := range n {
			require.NoError(t, m.Unload())
			_, err := b.FailAllocations(1, 1, i)
			require.NoError(t, err)
			_, err = run()
			require.ErrorIs(t, err, backend.ErrOutOfMemory, "allocation %d", i)
			require.ErrorContains(t, err, "could not be allocated on cpu")
			require.Zero(t, m.MemoryStats().Compute)
			_, err = b.FailAllocations(0, 0, 0)
			require.NoError(t, err)
			got, err := run()
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		_, err = b.FailAllocations(42, 0.3, 0)
		require.NoError(t, err)
		failed := 0
		for range 30 {
			require.NoError(t, m.ReleaseCompute())
			got, err := run()
			if err != nil {
				require.ErrorIs(t, err, backend.ErrOutOfMemory)
				failed++
				continue
			}
			require.Equal(t, want, got)
		}
		require.Positive(t, failed)
		require.Less(t, failed, 30)
		_, err = b.FailAllocations(0, 1, 0)
		require.NoError(t, err)
		_, err = b.Open(t.Context(), cfg)
		require.ErrorIs(t, err, backend.ErrOutOfMemory)
		_, err = b.FailAllocations(0, 0, 0)
		require.NoError(t, err)
	}
}

// TestAttentionInSlices: less memory where scores are kept, and nearly the same sums.
func TestAttentionInSlices(t *testing.T) {
	b, cfg := nanoBackend(t)
	cfg.FlashAttention = "off"
	plain := openModel(t, b, cfg)
	cfg.AttentionSlicing = true
	sliced := openModel(t, b, cfg)
	query := backend.ComputeQuery{Stage: backend.StageUNet, Batch: 2, Height: 128, Width: 128, ContextTokens: 77}
	whole, err := plain.ComputeBytes(query)
	require.NoError(t, err)
	parts, err := sliced.ComputeBytes(query)
	require.NoError(t, err)
	scores := int64(2 * 4096 * 4096 * 4) // of the one head that the nano model's second level has
	require.InDelta(t, whole-parts, scores-64<<20, 1<<20)
}
