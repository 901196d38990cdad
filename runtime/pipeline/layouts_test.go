//go:build !race

package pipeline

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// nanoSynth is a synthetic checkpoint of the nano model's kind, with other dimensions.
func nanoSynth(dims modelfile.Dims) synth.Options {
	return synth.Options{Kind: synth.KindNano, Dims: &dims, Seed: 3}
}

// assertFinite asks for values that are finite and not all zero.
func assertFinite(t *testing.T, values []float32) {
	t.Helper()
	var sum float64
	for _, v := range values {
		sum += math.Abs(float64(v))
	}
	assert.False(t, math.IsNaN(sum) || math.IsInf(sum, 0), "not finite")
	assert.NotZero(t, sum)
}

// runTwoSteps opens a model in exact precision, checks that every tensor is used, and returns the latents after two steps.
func runTwoSteps(t *testing.T, path string) (backend.ModelInfo, []float32) {
	t.Helper()
	p, err := Open(t.Context(), Config{Model: path, Precision: backend.PrecisionExact, Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	info := p.Info()
	assert.Equal(t, backend.KindSDXLBase, info.Kind)
	assert.Zero(t, info.UnusedTensors, info.UnusedExample)
	out := generate(t, p, request.Request{Prompt: "a red circle", Width: 64, Height: 64, NumInferenceSteps: 2, Seed: 7})
	assertFinite(t, out.Images[0].Latents.Data)
	return info, out.Images[0].Latents.Data
}

// TestUnevenTransformerDepth runs a UNet as distillations such as SSD-1B have: each attention of its own depth, and a
// middle block with no attention, with one resnet or two; in the original layout and in diffusers'.
func TestUnevenTransformerDepth(t *testing.T) {
	for name, resnets := range map[string]int{"two resnets in the middle": 2, "one resnet in the middle": 1} {
		t.Run(name, func(t *testing.T) {
			dims := modelfile.Preset("nano")
			dims.UNet.DownDepth = [][]int{{0, 0}, {2, 1}, {1, 3}}
			dims.UNet.UpDepth = [][]int{{0, 0, 0}, {1, 2, 1}, {3, 1, 2}}
			dims.UNet.MiddleDepth, dims.UNet.MiddleResnets = 0, resnets
			var latents [][]float32
			for _, layout := range []modelfile.Layout{modelfile.LayoutOriginal, modelfile.LayoutDiffusers} {
				opt := nanoSynth(dims)
				opt.Layout = layout
				path := filepath.Join(t.TempDir(), string(layout)+".safetensors")
				require.NoError(t, synth.Write(t.Context(), path, opt))
				report, err := modelfile.Check(path, modelfile.KindSDXLBase)
				require.NoError(t, err)
				assert.Equal(t, dims.UNet.UpDepth, report.Dims.UNet.UpDepth)
				info, x := runTwoSteps(t, path)
				assert.Zero(t, info.UNet.MiddleDepth)
				assert.Equal(t, []int{2, 2, 2}, info.UNet.Resnets)
				latents = append(latents, x)
			}
			assert.Less(t, relativeL2(t, latents[1], latents[0]), 1e-5, "both layouts hold the same weights")
		})
	}
}

// TestRefiner opens a small refiner: one text encoder, five size ids, and a UNet with attention on its middle levels.
func TestRefiner(t *testing.T) {
	dims := modelfile.Preset("nano")
	dims.TextEncoder = nil
	u := dims.UNet
	u.ContextDim, u.LabelDim = dims.TextEncoder2.Width, dims.TextEncoder2.Width+5*256
	u.Channels, u.Resnets = []int{32, 64, 128, 128}, []int{2, 2, 2, 2}
	u.DownDepth = [][]int{{0, 0}, {1, 1}, {1, 1}, {0, 0}}
	u.UpDepth = [][]int{{0, 0, 0}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}}
	path := filepath.Join(t.TempDir(), "refiner.safetensors")
	require.NoError(t, synth.Write(t.Context(), path, nanoSynth(dims)))

	_, err := Open(t.Context(), Config{Model: path, Precision: backend.PrecisionExact, Threads: 1})
	require.ErrorIs(t, err, ErrUnsupportedModel)
	require.ErrorContains(t, err, "refiner")

	b, err := native.New(native.Options{})
	require.NoError(t, err)
	m, err := b.Open(t.Context(), backend.ModelConfig{Files: backend.Files{Model: path}, Precision: backend.PrecisionExact, Threads: 1,
		Device: "cpu", Hyper: backend.Hyper{UNetNormNumGroups: 4, VAENormNumGroups: 2}})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	info := m.Info()
	assert.Equal(t, backend.KindSDXLRefiner, info.Kind)
	assert.Equal(t, 5, info.UNet.SizeIDs)
	assert.Zero(t, info.TextEncoder.Width)
	assert.Equal(t, 64, info.TextEncoder2.Width)
	assert.Zero(t, info.UnusedTensors, info.UnusedExample)

	in := backend.UNetInput{Sample: backend.NewTensor(1, 4, 8, 8), Timesteps: []float32{200},
		Context: backend.NewTensor(1, 77, info.UNet.ContextDim), Pooled: backend.NewTensor(1, info.UNet.PooledDim),
		SizeIDs: backend.Tensor{Shape: []int{1, 5}, Data: []float32{64, 64, 0, 0, 6}}}
	for i := range in.Sample.Data {
		in.Sample.Data[i] = float32(math.Sin(float64(i)))
	}
	good, poor := make([]float32, 4*8*8), make([]float32, 4*8*8)
	require.NoError(t, m.UNet(t.Context(), in, good))
	assertFinite(t, good)
	in.SizeIDs.Data[4] = 2.5
	require.NoError(t, m.UNet(t.Context(), in, poor))
	assert.Greater(t, relativeL2(t, poor, good), 1e-4, "the aesthetic score is seen")
}

// shardUNet divides a folder's UNet weights into two files, with the index that names them.
func shardUNet(t *testing.T, folder string) {
	t.Helper()
	const stem = "diffusion_pytorch_model"
	dir := filepath.Join(folder, "unet")
	whole := filepath.Join(dir, stem+".safetensors")
	files := map[string]string{}
	for part, name := range []string{stem + "-00001-of-00002.safetensors", stem + "-00002-of-00002.safetensors"} {
		n := 0
		rewriteSafetensors(t, whole, filepath.Join(dir, name), func(x modelfile.Tensor, raw []byte) ([]int64, []byte, bool) {
			n++
			if n%2 != part {
				return nil, nil, false
			}
			files[x.Name] = name
			return x.Shape, raw, true
		})
	}
	index, err := json.Marshal(map[string]any{"metadata": map[string]any{}, "weight_map": files})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, stem+".safetensors.index.json"), index, 0o600))
	require.NoError(t, os.Remove(whole))
}

// TestShardedFolder: a diffusers folder whose UNet lies in two files gives what the same folder with one gives.
func TestShardedFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "model")
	require.NoError(t, synth.WriteFolder(t.Context(), folder, nanoSynth(modelfile.Preset("nano"))))
	info, single := runTwoSteps(t, folder)
	shardUNet(t, folder)
	infoSharded, sharded := runTwoSteps(t, folder)
	assert.Equal(t, info, infoSharded)
	assert.Equal(t, single, sharded)

	require.NoError(t, os.Remove(filepath.Join(folder, "unet", "diffusion_pytorch_model-00002-of-00002.safetensors")))
	_, err := Open(t.Context(), Config{Model: folder, Threads: 1})
	require.ErrorContains(t, err, "diffusion_pytorch_model-00002-of-00002.safetensors", "the missing shard is named")
}
