package memory_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TestFormulasAreTheLibrarysBuffers compares Fitted with what the library measures, for SDXL's sizes and the nano model's, on files that
// are holes.
func TestFormulasAreTheLibrarysBuffers(t *testing.T) {
	b, dir := library(t), t.TempDir()
	for _, c := range []struct {
		kind  synth.Kind
		hyper backend.Hyper
		role  func(string) backend.Files
	}{
		{synth.KindSDXLBase, backend.Hyper{}, func(p string) backend.Files { return backend.Files{Model: p} }},
		{synth.KindSDXLRefiner, backend.Hyper{}, func(p string) backend.Files { return backend.Files{Model: p} }},
		{synth.KindNano, nanoHyper, func(p string) backend.Files { return backend.Files{Model: p} }},
		{synth.KindControlNet, backend.Hyper{}, func(p string) backend.Files { return backend.Files{ControlNet: p} }},
		{synth.KindTAESD, backend.Hyper{}, func(p string) backend.Files { return backend.Files{TAESD: p} }},
	} {
		path := filepath.Join(dir, string(c.kind)+".safetensors")
		require.NoError(t, synth.WriteHollow(path, synth.Options{Kind: c.kind, Layout: modelfile.LayoutDiffusers}))
		inventory, err := memory.Read(c.role(path))
		require.NoError(t, err)
		for _, flash := range []string{"auto", "off"} {
			m, err := b.Open(context.Background(), backend.ModelConfig{Files: c.role(path), Hyper: c.hyper, Device: "cpu",
				Precision: backend.PrecisionF16, FlashAttention: flash, TextResidency: backend.ResidencyOnDemand,
				UNetResidency: backend.ResidencyOnDemand, VAEResidency: backend.ResidencyOnDemand})
			require.NoError(t, err)
			fitted := memory.Fitted(map[string]memory.Fit{"": {Dims: inventory.Dims, FlashAttention: flash == "auto"}}, nil)
			compareBuffers(t, fmt.Sprintf("%s, flash %s", c.kind, flash), m, fitted)
			require.NoError(t, m.Close())
		}
	}
}

func compareBuffers(t *testing.T, name string, m backend.Model, fitted memory.Compute) {
	compared := 0
	for _, cells := range [][2]int{{32, 32}, {64, 96}, {128, 128}} {
		compared += compareFeatures(t, name, m, fitted, cells)
		for _, stage := range []backend.Stage{backend.StageUNet, backend.StageControl, backend.StageControlHint, backend.StageVAEDecode,
			backend.StageVAEEncode, backend.StageDetect} {
			for _, n := range []int{1, 4} {
				q := backend.ComputeQuery{Stage: stage, Batch: n, Height: cells[0], Width: cells[1], ContextTokens: 77}
				h, w := cells[0], cells[1]
				if stage == backend.StageVAEEncode || stage == backend.StageControlHint {
					q.Height, q.Width = 8*cells[0], 8*cells[1]
				}
				if stage == backend.StageDetect {
					q.Height, q.Width, h, w = 8*cells[0], 8*cells[1], 8*cells[0], 8*cells[1]
				}
				want, err := m.ComputeBytes(q)
				if err != nil {
					continue // the model has no such stage
				}
				got, err := fitted(memory.Query{Stage: stage, Batch: n, Together: true, Height: h, Width: w, Tokens: 77})
				require.NoError(t, err, "%s: stage %d", name, stage)
				assert.InEpsilon(t, want, got, memory.FitError, "%s: stage %d, %d of %v", name, stage, n, cells)
				compared++
			}
		}
	}
	assert.Positive(t, compared, name)
}

// compareFeatures does so for what a UNet keeps, and returns how many figures it compared.
func compareFeatures(t *testing.T, name string, m backend.Model, fitted memory.Compute, cells [2]int) (compared int) {
	if m.Info().UNet.OutChannels == 0 {
		return 0
	}
	queries := []memory.Query{{Keep: backend.KeepTextAttention}}
	for branch := range m.Info().UNet.Branches() {
		queries = append(queries, memory.Query{Keep: backend.KeepDeep, Branch: branch})
	}
	for _, q := range queries {
		q.Stage, q.Batch, q.Height, q.Width, q.Tokens = backend.StageFeatures, 2, cells[0], cells[1], 77
		want, err := m.ComputeBytes(backend.ComputeQuery{Stage: q.Stage, Batch: q.Batch, Height: q.Height, Width: q.Width, ContextTokens: 77,
			Keep: q.Keep, Branch: q.Branch})
		require.NoError(t, err)
		got, err := fitted(q)
		require.NoError(t, err)
		assert.InEpsilon(t, want, got, memory.FitError, "%s: %s, branch %d, %v", name, q.Keep, q.Branch, cells)
		compared++
	}
	return compared
}

// TestFullSizeWeightsAreTheLibrarysBytes: the same as for the nano model, of a file of SDXL's size that is a hole.
func TestFullSizeWeightsAreTheLibrarysBytes(t *testing.T) {
	b := library(t)
	path := filepath.Join(t.TempDir(), "sdxl.safetensors")
	require.NoError(t, synth.WriteHollow(path, synth.Options{Kind: synth.KindSDXLBase}))
	for _, typ := range []backend.Type{backend.TypeAuto, backend.TypeF32, backend.TypeQ8_0, backend.TypeQ4_K, backend.TypeQ5_0} {
		requireWeights(t, b, backend.ModelConfig{Files: backend.Files{Model: path}, Device: "cpu", Precision: backend.PrecisionF16, UNetType: typ,
			TextType: typ, TextResidency: backend.ResidencyOnDemand, UNetResidency: backend.ResidencyOnDemand,
			VAEResidency: backend.ResidencyOnDemand})
	}
}

// TestOnlySmallGraphsRunInLanes: each lane reads all weights and has a buffer of its own, which SDXL's are too large for at any size that
// people use.
func TestOnlySmallGraphsRunInLanes(t *testing.T) {
	b := library(t)
	for _, kind := range []synth.Kind{synth.KindSDXLBase, synth.KindSDXLRefiner} {
		path := filepath.Join(t.TempDir(), "model.safetensors")
		require.NoError(t, synth.WriteHollow(path, synth.Options{Kind: kind}))
		for _, precision := range []backend.Precision{backend.PrecisionF16, backend.PrecisionExact} {
			m, err := b.Open(t.Context(), backend.ModelConfig{Files: backend.Files{Model: path}, Device: "cpu", Precision: precision, Threads: 2,
				TextResidency: backend.ResidencyOnDemand, UNetResidency: backend.ResidencyOnDemand, VAEResidency: backend.ResidencyOnDemand})
			require.NoError(t, err)
			for _, q := range []backend.ComputeQuery{
				{Stage: backend.StageUNet, Batch: 16, Height: 32, Width: 32, ContextTokens: 77},
				{Stage: backend.StageVAEDecode, Batch: 16, Height: 32, Width: 32},
			} {
				lanes, err := m.(backend.Laned).ComputeLanes(q)
				require.NoError(t, err)
				assert.Equal(t, 1, lanes, "%s, %s: %+v", kind, precision, q)
			}
			require.NoError(t, m.Close())
		}
	}
}
