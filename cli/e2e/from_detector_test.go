package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// TestFromADetector: --from finds the detector of a picture's details by its name or its hash and makes the picture again. Without the file
// it says what is left out.
func TestFromADetector(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, synth.Write(t.Context(), at("finder.safetensors"), synth.Options{Kind: synth.KindNanoYOLOv8, Seed: 16}))
	r := run(t, "generate", "--no-config", "--quiet", "--model", "nano", "--prompt", "a red circle", "--width", "64", "--height", "64",
		"--steps", "2", "--seed", "3", "--detail", at("finder.safetensors")+":0.9=a green star", "-o", at("p.png"))
	require.Zero(t, r.code, r.stderr)
	want, texts := readPNG(t, at("p.png"))
	assert.Contains(t, texts["daguerre"], `"detector":"finder.safetensors"`)
	assert.Contains(t, texts["daguerre"], `"found":[{"detail":0,"box":[`)
	again := func() string {
		r := run(t, "generate", "--no-config", "--from", at("p.png"), "--model-dir", dir, "-o", at("again.png"))
		require.Zero(t, r.code, r.stderr)
		return r.stderr
	}
	assert.NotContains(t, again(), "differ")
	img, _ := readPNG(t, at("again.png"))
	assert.Equal(t, want, img)

	require.NoError(t, os.Rename(at("finder.safetensors"), at("renamed.safetensors")))
	said := again()
	assert.Contains(t, said, "renamed")
	assert.NotContains(t, said, "differ")
	img, _ = readPNG(t, at("again.png"))
	assert.Equal(t, want, img)

	require.NoError(t, os.Remove(at("renamed.safetensors")))
	said = again()
	assert.Contains(t, said, "finder")
	assert.Contains(t, said, "it is left out: the picture will differ")
}
