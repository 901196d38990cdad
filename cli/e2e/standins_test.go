package e2e

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// standIns is a folder of small files under the names that the pages use: nano in the place of SDXL, its adapters, its ControlNet.
type standIns string

// newStandIns makes the files once.
func newStandIns(t *testing.T) standIns {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	nano := func(name string) string { return filepath.Join("..", "..", "models", "nano", name) }
	require.NoError(t, os.MkdirAll(at("loras"), 0o755))
	require.Equal(t, 0, run(t, "models", "convert", "nano", at("sdxl.safetensors"), "--type", "f16", "--quiet").code)
	fewSteps(t, at("sdxl.safetensors"))
	copyFile(t, at("sdxl.safetensors"), at("better-vae.safetensors"), 0o644)
	unzip(t, nano("nano-refiner.safetensors.gz"), at("refiner.safetensors"))
	copyFile(t, nano("nano-controlnet-canny.safetensors"), at("canny.safetensors"), 0o644)
	copyFile(t, nano("nano-control-lora-canny.safetensors"), at("control-lora-canny.safetensors"), 0o644)
	copyFile(t, nano("nano-taesd.safetensors"), at("taesd.safetensors"), 0o644)
	copyFile(t, nano("nano-lora-outline.safetensors"), at("loras/ink-wash.safetensors"), 0o644)
	copyFile(t, nano("nano-lora-stripes.safetensors"), at("loras/detail.safetensors"), 0o644)
	require.NoError(t, synth.Write(t.Context(), at("RealESRGAN_x4plus.pth"), synth.Options{Kind: synth.KindESRGAN, Dims: tinyESRGAN}))
	for name, kind := range map[string]synth.Kind{"ip-adapter-plus_sdxl_vit-h": "nano-ip-adapter-plus", "image_encoder": synth.KindNanoImage,
		"t2i-adapter-lineart": "nano-t2i-adapter", "union": "nano-controlnet-union", "face_yolov8n": synth.KindNanoYOLOv8} {
		require.NoError(t, synth.Write(t.Context(), at(name+".safetensors"), synth.Options{Kind: kind}))
	}
	picture := func(prompt, name string) {
		r := run(t, "demo", prompt, "-o", at(name), "--quiet")
		require.Equal(t, 0, r.code, r.stderr)
	}
	picture("a red circle on a blue background", "photo.png")
	picture("a red circle on a blue background", "photo.jpg")
	picture("a white circle on a black background", "mask.png")
	return standIns(dir)
}

// into puts the files into a folder.
func (s standIns) into(t *testing.T, dir string) {
	t.Helper()
	for _, name := range filesBelow(t, string(s)) {
		to := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		require.NoError(t, os.Symlink(filepath.Join(string(s), name), to)) // a hard link would change the file's times while others read it
	}
}

func unzip(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	require.NoError(t, err)
	defer in.Close()
	z, err := gzip.NewReader(in)
	require.NoError(t, err)
	data, err := io.ReadAll(z)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, data, 0o644))
}

// fewSteps changes the number of steps that a model's file asks for, so that many commands take little time.
func fewSteps(t *testing.T, path string) {
	t.Helper()
	x := readTensors(t, path)
	config := x.metadata["daguerre.config"]
	require.Contains(t, config, `"num_inference_steps":20`)
	states("daguerre.config", strings.Replace(config, `"num_inference_steps":20`, `"num_inference_steps":3`, 1))(x)
	require.NoError(t, os.WriteFile(path, x.bytes(t), 0o644))
}
