package command

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/picture"
)

// network writes a small synthetic network.
func (b *bench) network(t *testing.T, kind synth.Kind) string {
	t.Helper()
	path := filepath.Join(b.dir, string(kind)+".safetensors")
	require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: kind}))
	return path
}

func TestUpscale(t *testing.T) {
	b := newBench(t)
	in, model := b.square(t, "in.png", 80), b.network(t, synth.KindESRGAN)
	require.Equal(t, ExitOK, b.run("upscale", in, "--model", model, "-o", b.path("out.png"), "--tile-size", "48", "--overlap", "8",
		"--json"), b.stderr)
	img, err := picture.Read(b.path("out.png"), 1<<20)
	require.NoError(t, err)
	assert.Equal(t, 160, img.Bounds().Dx(), "the fake doubles")
	tiles := 0
	for line := range strings.Lines(b.stdout) {
		var event struct {
			Event, Stage string
			Total        int
		}
		require.NoError(t, json.Unmarshal([]byte(line), &event))
		if event.Stage == "tiles" {
			assert.Equal(t, 4, event.Total)
			tiles++
		}
	}
	assert.Equal(t, 4, tiles)
	require.Equal(t, ExitOK, b.run("upscale", in, "--model", model, "-o", b.path("third.png"), "--scale", "3"), b.stderr)
	img, err = picture.Read(b.path("third.png"), 1<<20)
	require.NoError(t, err)
	assert.Equal(t, 240, img.Bounds().Dx())
	assert.Zero(t, b.native.backend.LiveModels())
}

func TestUpscaleRefuses(t *testing.T) {
	b := newBench(t)
	in, model, other := b.square(t, "in.png", 80), b.network(t, synth.KindESRGAN), b.network(t, synth.KindNano)
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{ExitUsage, "--model is missing", []string{in, "-o", "x.png"}},
		{ExitUsage, "--output is missing", []string{in, "--model", model}},
		{ExitUsage, "2 mistakes\n  --output is missing; give the file to write with -o\n  --model is missing; give an ESRGAN file\n" +
			"  See daguerre upscale --help.", []string{in}},
		{ExitUsage, "--overlap is 24", []string{in, "--model", model, "-o", "x.png", "--tile-size", "48", "--overlap", "24"}},
		{ExitUsage, "--scale is 17", []string{in, "--model", model, "-o", "x.png", "--scale", "17"}},
		{ExitUsage, "--precision \"f61\"", []string{in, "--model", model, "-o", "x.png", "--precision", "f61"}},
		{ExitFile, "give an ESRGAN model", []string{in, "--model", other, "-o", b.path("x.png")}},
		{ExitFile, "none.png", []string{b.path("none.png"), "--model", model, "-o", b.path("x.png")}},
		{ExitFile, "none.pth", []string{in, "--model", b.path("none.pth"), "-o", b.path("x.png")}},
	} {
		assert.Equal(t, c.code, b.run(append([]string{"upscale"}, c.args...)...), c.says)
		assert.Contains(t, b.stderr, c.says)
		assert.NoFileExists(t, b.path("x.png"))
	}
}

func TestVAECheck(t *testing.T) {
	b := newBench(t)
	in, model := b.square(t, "in.png", 128), b.network(t, synth.KindNano)
	require.Equal(t, ExitOK, b.run("vae", "check", model, in, "--json"), b.stderr)
	lines := strings.Split(strings.TrimSpace(b.stdout), "\n")
	var event struct{ Result vaeReport }
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &event))
	assert.Equal(t, "good", string(event.Result.Check.Verdict), "a square on the borders of latent cells is nothing to the fake: %v",
		event.Result.Check.Reasons)
	assert.Equal(t, "in.png", event.Result.Check.Pictures[0].Name)
	assert.Equal(t, 128, event.Result.Check.Pictures[0].Width)

	require.Equal(t, ExitOK, b.run("vae", "check", model, "--size", "64"), "drawings lose little in the fake")
	assert.Contains(t, b.stdout, "a small VAE, 8 channels wide; SDXL's has 512")
	assert.Contains(t, b.stdout, "circle ")

	var fine bytes.Buffer
	grid := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range grid.Pix {
		grid.Pix[i] = uint8(255 * ((i + i/64) % 2))
	}
	require.NoError(t, png.Encode(&fine, grid))
	require.NoError(t, os.WriteFile(b.path("fine.png"), fine.Bytes(), 0o600))
	assert.Equal(t, ExitFile, b.run("vae", "check", model, b.path("fine.png")), "the fake keeps no detail")
	assert.Contains(t, b.stdout, "verdict   bad")
	assert.Contains(t, b.stdout, "fine.png: it comes back at")
	assert.Contains(t, b.stderr, "the VAE is bad")
	for says, args := range map[string][]string{
		"give the VAE":         nil,
		"--size is 100":        {model, "--size", "100"},
		"--precision \"half\"": {model, "--precision", "half"},
		"vae_tile_size":        {model, "--tile-size", "100"},
	} {
		assert.Equal(t, ExitUsage, b.run(append([]string{"vae", "check"}, args...)...), says)
		assert.Contains(t, b.stderr, says)
	}
	lora := b.network(t, synth.KindNanoLoRA)
	assert.Equal(t, ExitFile, b.run("vae", "check", lora))
	assert.Contains(t, b.stderr, "this is a LoRA")
}
