package models

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// TestFindNet looks for ControlNets in a folder that holds other files of their names, too.
func TestFindNet(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	net := func(name string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(in(name)), 0o700))
		require.NoError(t, synth.WriteHollow(in(name), synth.Options{Kind: synth.KindNanoControl, Layout: modelfile.LayoutDiffusers}))
	}
	file := func(name, text string) { require.NoError(t, os.WriteFile(in(name), []byte(text), 0o600)) }
	net("canny.safetensors")
	file("canny.json", "{}")
	file("canny.md", "a card")
	net("depth-small.safetensors")
	net("depth-large.safetensors")
	net("pose/diffusion_pytorch_model.safetensors")
	file("pose/config.json", `{"_class_name": "ControlNetModel"}`)
	require.NoError(t, os.Mkdir(in("empty"), 0o700))
	nets := NewNets(dir)
	for name, want := range map[string]string{
		in("canny.safetensors"): "canny.safetensors", "canny": "canny.safetensors", "Canny.SafeTensors": "canny.safetensors",
		"depth-s": "depth-small.safetensors",
		"pose":    "pose/diffusion_pytorch_model.safetensors", in("pose"): "pose/diffusion_pytorch_model.safetensors",
	} {
		got, err := FindNet("controlnet", name, nets)
		require.NoError(t, err, name)
		assert.Equal(t, in(want), got, name)
	}
	for name, want := range map[string]string{
		"scribble":     "scribble is no file, and no ControlNet of that name is in controlnet_directories [" + dir + "]",
		"nny":          "there is canny",
		"depth":        "2 files answer to this name",
		in("empty"):    "name a model file or a diffusers folder",
		in("canny.md"): "canny.md",
	} {
		_, err := FindNet("controlnet", name, nets)
		assert.ErrorContains(t, err, want, name)
	}
	_, err := FindNet("controlnet", "canny", NewNets())
	assert.ErrorContains(t, err, "canny is no file")
}
