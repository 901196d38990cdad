// Package backendtest tests backends. [Test] calls every operation of a backend and compares what it does with what package
// backend promises: shapes, errors, memory, cancelling, and results that do not depend on what else is computed. The fake and the
// real backend both pass it. A new backend should call it in a test of its own.
//
//	func TestConformance(t *testing.T) {
//		backendtest.Test(t, backendtest.Models{Backend: New(), Base: backend.ModelConfig{Files: backend.Files{Model: "base"}}})
//	}
package backendtest

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Models names a backend and the models to test it with. Small ones suffice.
type Models struct {
	Backend backend.Backend
	Base    backend.ModelConfig // a base model of SDXL, with all its components

	// Each of these is tested if it names a file.
	ControlNet backend.ModelConfig // for the base
	TAESD      backend.ModelConfig
	Upscaler   backend.ModelConfig
	Detector   backend.ModelConfig
}

// Test checks all contracts, each in a subtest with its name.
func Test(t *testing.T, m Models) {
	for _, c := range contracts {
		t.Run(c.name, func(t *testing.T) { c.check(t, m) })
	}
}

// contract is something that backends promise.
type contract struct {
	name  string
	check func(t tester, m Models)
}

var contracts = []contract{
	{"Devices", devices}, {"Open", opening}, {"OpenRefuses", openingRefuses}, {"Components", components}, {"Info", infoIsTheCallers},
	{"Tokenize", tokenize}, {"EncodeText", encodeText}, {"EncodeTextRefuses", encodeTextRefuses},
	{"UNet", unet}, {"UNetResiduals", unetResiduals}, {"UNetRefuses", unetRefuses},
	{"UNetChange", unetChange}, {"UNetChangeRefuses", unetChangeRefuses},
	{"UNetRegions", unetRegions}, {"UNetRegionsRefuses", unetRegionsRefuses},
	{"Features", features}, {"FeaturesRefuse", featuresRefuse},
	{"VAE", vae}, {"VAEParts", vaeParts}, {"VAERefuses", vaeRefuses}, {"TAESD", taesd}, {"Wrap", wrap},
	{"ControlNet", controlNet}, {"ControlNetRefuses", controlNetRefuses}, {"ResidualsOnDevice", residualsOnDevice}, {"Upscale", upscale},
	{"Detect", detect},
	{"LoRA", lora}, {"LoRARefuses", loraRefuses},
	{"Load", loading}, {"MemoryStats", memoryStats}, {"ComputeBytes", computeBytes}, {"ComputeBytesRefuses", computeBytesRefuses},
	{"OutOfMemory", outOfMemory}, {"Cancel", cancelling}, {"Close", closing}, {"TwoModels", twoModels}, {"Goroutines", goroutines},
}

// tester is what contracts need of *testing.T. Tests of this package give another one, to see that a contract fails.
type tester interface {
	require.TestingT
	Helper()
	Context() context.Context
	Cleanup(f func())
}

// open opens a model until the end of the test.
func open(t tester, b backend.Backend, cfg backend.ModelConfig) backend.Model {
	t.Helper()
	m, err := b.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// onDemand is a configuration that loads weights at their first use.
func onDemand(cfg backend.ModelConfig) backend.ModelConfig {
	cfg.TextResidency, cfg.UNetResidency, cfg.VAEResidency = backend.ResidencyOnDemand, backend.ResidencyOnDemand, backend.ResidencyOnDemand
	return cfg
}

// values returns a tensor of numbers in -1..1 that differ, also between tensors of different seeds.
func values(seed int, shape ...int) backend.Tensor {
	x := backend.NewTensor(shape...)
	for i := range x.Data {
		x.Data[i] = float32(math.Sin(float64(i+1000*seed) * 12.9898))
	}
	return x
}

// rows takes n rows out of a batch, from the first on.
func rows(x backend.Tensor, first, n int) backend.Tensor {
	size := len(x.Data) / x.Shape[0]
	return backend.Tensor{Shape: append([]int{n}, x.Shape[1:]...), Data: x.Data[first*size : (first+n)*size]}
}

// requireNumbers refuses values that are not finite, and all zeros.
func requireNumbers(t tester, x []float32) {
	t.Helper()
	sum := 0.0
	for _, v := range x {
		sum += math.Abs(float64(v))
	}
	require.False(t, math.IsNaN(sum) || math.IsInf(sum, 0), "not finite")
	require.NotZero(t, sum, "all are zero")
}

// requireNear compares results of other sums of the same numbers: a batch of another size may add in another order.
func requireNear(t tester, want, got []float32, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	var most, worst float64
	for i, w := range want {
		most, worst = max(most, math.Abs(float64(w))), max(worst, math.Abs(float64(w)-float64(got[i])))
	}
	require.LessOrEqual(t, worst, 1e-3*most, what)
}

// requireRefusals edits sound arguments in each way, and wants backend.ErrArgument. The sound call succeeds before and after.
func requireRefusals[T any](t tester, sound func() T, call func(T) error, edits map[string]func(*T)) {
	t.Helper()
	require.NoError(t, call(sound()))
	for name, edit := range edits {
		in := sound()
		edit(&in)
		require.ErrorIs(t, call(in), backend.ErrArgument, name)
	}
	require.NoError(t, call(sound()), "after refusals")
}

// chunk is a chunk of a text with start, end and padding.
func chunk(ids ...int32) []int32 {
	row := append([]int32{49406}, ids...)
	return append(row, slices.Repeat([]int32{49407}, 77-len(row))...)
}

// unetInput returns the inputs of an evaluation, and room for the result.
func unetInput(info backend.ModelInfo, n, h, w int) (backend.UNetInput, []float32) {
	u := info.UNet
	in := backend.UNetInput{Sample: values(1, n, u.InChannels, h, w), Context: values(2, n, 77, u.ContextDim),
		Pooled: values(3, n, u.PooledDim), SizeIDs: values(4, n, u.SizeIDs)}
	for i := range n {
		in.Timesteps = append(in.Timesteps, float32(500-100*i))
	}
	return in, make([]float32, n*u.OutChannels*h*w)
}

// evaluate runs the UNet on a small sample.
func evaluate(t tester, m backend.Model, loras ...backend.LoRAUse) []float32 {
	t.Helper()
	in, out := unetInput(m.Info(), 2, 8, 8)
	in.LoRAs = loras
	require.NoError(t, m.UNet(t.Context(), in, out))
	return out
}
