//go:build !race

package pipeline

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// shardedFolder writes a diffusers folder whose UNet has an index.
func shardedFolder(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, synth.WriteFolder(t.Context(), dir, synth.Options{Kind: synth.KindNano, Seed: 3}))
	whole := filepath.Join(dir, "unet", "diffusion_pytorch_model.safetensors")
	f, err := modelfile.Open(whole)
	require.NoError(t, err)
	shard, names := "diffusion_pytorch_model-00001-of-00001.safetensors", map[string]string{}
	for _, x := range f.Tensors {
		names[x.Name] = shard
	}
	require.NoError(t, f.Close())
	require.NoError(t, os.Rename(whole, filepath.Join(dir, "unet", shard)))
	index, err := json.Marshal(map[string]any{"weight_map": names})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(whole+".index.json", index, 0o600))
}

// TestInputsAreAllThatCounts changes every file that a request's pictures depend on, found by name or inside a folder, one after the
// other: the inputs tell which it was. Files beside them do not count.
func TestInputsAreAllThatCounts(t *testing.T) {
	dir := t.TempDir()
	in := func(parts ...string) string {
		path := filepath.Join(append([]string{dir}, parts...)...)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		return path
	}
	copied := func(from string, to ...string) string {
		data, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(in(to...), data, 0o600))
		return in(to...)
	}
	picture := func(name string) string {
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, image.NewNRGBA(image.Rect(0, 0, 64, 64))))
		require.NoError(t, os.WriteFile(in(name), b.Bytes(), 0o600))
		return in(name)
	}
	array := func(name string) string {
		require.NoError(t, npy.WriteFile(in(name), npy.Array{Shape: []int{1, 4, 8, 8}, Data: make([]float32, 256)}))
		return in(name)
	}
	nanoPart := func(name string) string { return filepath.Join("..", "..", "models", "nano", name) }
	shardedFolder(t, in("model"))
	for _, name := range []string{"myword", "other"} {
		writeEmbedding(t, in("words", name+".safetensors"), 1, 64, 0.5)
	}
	writeEmbedding(t, in("always.safetensors"), 1, 64, 0.5)
	config := Config{Model: in("model"), Device: "cpu", Precision: backend.PrecisionF16, RefinerOnDemand: true,
		VAE:                  copied(nanoFile(t), "vae.safetensors"),
		Refiner:              nanoRefiner(t, true),
		TAESD:                copied(nanoPart("nano-taesd.safetensors"), "taesd.safetensors"),
		Upscaler:             synthNet(t, "esrgan", 1, modelfile.LayoutOriginal),
		Embeddings:           []string{in("always.safetensors")},
		EmbeddingDirectories: []string{in("words")}, LoRADirectories: []string{in("loras")},
		ControlNetDirectories: []string{in("first"), in("nets")}}
	adapter := copied(nanoPart("nano-lora-stripes.safetensors"), "loras", "stripes.safetensors")
	copied(nanoPart("nano-lora-outline.safetensors"), "loras", "unused.safetensors")
	require.NoError(t, os.MkdirAll(in("first"), 0o700))
	net := copied(nanoPart("nano-controlnet-canny.safetensors"), "nets", "canny.safetensors")

	painted := request.Request{Prompt: "a circle, myword <lora:stripes:0.5>", Width: 64, Height: 64, NumInferenceSteps: 20}
	painted.InitImage.Path, painted.MaskImage.Path = picture("init.png"), picture("mask.png")
	painted.ControlNets = []request.ControlNet{{Model: "canny", Image: request.Picture{Path: picture("control.png")}}}
	given := request.Request{Prompt: "a circle", Width: 64, Height: 64, NumInferenceSteps: 20}
	given.Noise.Path = array("noise.npy")
	given.Latents.Path = array("latents.npy")

	p, err := Open(t.Context(), config)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	stamps := func() output.Inputs {
		inputs := output.Inputs{}
		for _, r := range []request.Request{painted, given} {
			files, err := p.Inputs(r)
			require.NoError(t, err)
			for _, path := range files {
				require.NoError(t, inputs.AddFile(path))
			}
		}
		return inputs
	}
	folder := func(root string) (files []string) {
		require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return err
		}))
		return files
	}
	want := []string{config.VAE, config.TAESD, config.Upscaler, in("always.safetensors"), in("words", "myword.safetensors"), adapter, net,
		in("init.png"), in("mask.png"), in("control.png"), in("noise.npy"), in("latents.npy")}
	want = append(append(want, folder(config.Model)...), folder(config.Refiner)...)
	require.Contains(t, want, filepath.Join(config.Model, "unet", "diffusion_pytorch_model.safetensors.index.json"))

	before := stamps()
	assert.Empty(t, stamps().Changed(before), "nothing has changed")
	for _, path := range want {
		st, err := os.Stat(path)
		require.NoError(t, err)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		inputs := stamps()
		other := slices.Clone(data)
		other[len(other)/2] ^= 1
		require.NoError(t, os.WriteFile(path, other, 0o600))
		require.NoError(t, os.Chtimes(path, st.ModTime(), st.ModTime()))
		again := output.Inputs{}
		for name := range inputs {
			require.NoError(t, again.AddFile(name))
		}
		assert.Equal(t, []string{path}, again.Changed(inputs))
		require.NoError(t, os.WriteFile(path, data, 0o600)) // small ones are what they were
	}
	require.NoError(t, os.Remove(in("words", "other.safetensors")))
	require.NoError(t, os.Remove(in("loras", "unused.safetensors")))
	now := stamps()
	for _, path := range now.Changed(before) {
		assert.Greater(t, size(t, path), int64(1<<20), "%s is what it was", path)
	}
	other := copied(net, "first", "canny.safetensors") // another file of that name, which is found first
	assert.ElementsMatch(t, []string{net, other}, stamps().Changed(now))
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	require.NoError(t, err)
	return st.Size()
}
