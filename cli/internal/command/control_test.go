package command

import (
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
)

// square writes a picture of n x n pixels, dark with a light middle.
func (b *bench) square(t *testing.T, name string, n int) string {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, n, n))
	for y := n / 4; y < 3*n/4; y++ {
		for x := n / 4; x < 3*n/4; x++ {
			img.SetGray(x, y, color.Gray{220})
		}
	}
	f, err := os.Create(b.path(name))
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, img))
	require.NoError(t, f.Close())
	return b.path(name)
}

func TestControlPreprocess(t *testing.T) {
	b := newBench(t)
	in := b.square(t, "in.png", 64)
	require.Equal(t, ExitOK, b.run("control", "preprocess", in, "-p", "canny", "--option", "l2_gradient=true", "-o", b.path("edges.png")),
		b.stderr)
	img, err := picture.Read(b.path("edges.png"), 1<<20)
	require.NoError(t, err)
	white := 0
	for _, v := range picture.Opaque(img).Pix {
		if v == 255 {
			white++
		}
	}
	assert.InDelta(t, 64*64+3*4*31, white, 40, "alpha, and four sides of 32 pixels")
	require.Equal(t, ExitOK, b.run("control", "preprocess", in, "-p", "invert", "-W", "128", "--resize", "pad", "-o", b.path("edges.png"),
		"--json"), b.stderr)
	var written writtenPicture
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &written))
	assert.Equal(t, []any{b.path("edges-2.png"), 128, 64}, []any{written.Path, written.Width, written.Height})
}

func TestControlPreprocessRefuses(t *testing.T) {
	b := newBench(t)
	in, out := b.square(t, "in.png", 16), b.path("out.png")
	for says, c := range map[string]struct {
		args []string
		code int
	}{
		"--preprocessor is missing":                         {[]string{in, "-o", out}, ExitUsage},
		`"cany" is unknown`:                                 {[]string{in, "-o", out, "-p", "cany"}, ExitUsage},
		`did you mean "canny"?`:                             {[]string{in, "-o", out, "-p", "cany"}, ExitUsage},
		"--output is missing":                               {[]string{in, "-p", "canny"}, ExitUsage},
		"give one picture file":                             {[]string{"-o", out, "-p", "canny"}, ExitUsage},
		"end the name in .png":                              {[]string{in, "-o", "x.bmp", "-p", "canny"}, ExitUsage},
		"sigma: canny has no such option":                   {[]string{in, "-o", out, "-p", "canny", "--option", "sigma=2"}, ExitUsage},
		"write it as NAME=NUMBER":                           {[]string{in, "-o", out, "-p", "canny", "--option", "sigma"}, ExitUsage},
		`--option sigma: "x" is no number`:                  {[]string{in, "-o", out, "-p", "blur", "--option", "sigma=x"}, ExitUsage},
		`resize_mode: "fill" is none of stretch, crop, pad`: {[]string{in, "-o", out, "-p", "blur", "--resize", "fill"}, ExitUsage},
		"--width is 0":                                      {[]string{in, "-o", out, "-p", "blur", "-W", "0"}, ExitUsage},
		"no such file":                                      {[]string{b.path("none.png"), "-o", out, "-p", "blur"}, ExitFile},
		"not a readable PNG":                                {[]string{b.write("text.png", "hello"), "-o", out, "-p", "blur"}, ExitFile},
	} {
		assert.Equal(t, c.code, b.run(append([]string{"control", "preprocess"}, c.args...)...), says)
		assert.Contains(t, b.stderr, says)
		assert.NoFileExists(t, out)
	}
}

func TestControlList(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run("control", "list"), b.stderr)
	for _, p := range controlnet.Preprocessors {
		assert.Contains(t, b.stdout, p.Name)
	}
	require.Equal(t, ExitOK, b.run("control", "list", "--json"), b.stderr)
	var list []controlnet.Preprocessor
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &list))
	assert.Len(t, list, len(controlnet.Preprocessors))
	assert.Equal(t, ExitUsage, b.run("control", "list", "canny"))
}

// TestControlMerge makes a ControlNet of the nano Control-LoRA by the command, with what it says in both ways.
func TestControlMerge(t *testing.T) {
	b := newBench(t)
	in, out := "../../../models/nano/nano-control-lora-canny.safetensors", b.path("net.safetensors")
	require.Equal(t, ExitOK, b.run("control", "merge", in, "--model", "nano", "-o", out), b.stderr)
	assert.Contains(t, b.stdout, "264 tensors: 143 of the Control-LoRA, 52 of the model, 69 of the model and changed\n")
	r, err := modelfile.Inspect(out)
	require.NoError(t, err)
	assert.Equal(t, modelfile.KindControlNet, r.Kind)
	assert.Empty(t, r.Reason)
	require.Equal(t, ExitOK, b.run("control", "merge", in, "--model", "nano", "-o", out, "--overwrite", "--type", "bf16", "--json"), b.stderr)
	for _, event := range []string{`"event":"start"`, `"stage":"write"`, `"event":"file"`, `"event":"done"`} {
		assert.Contains(t, b.stdout, event)
	}
	for says, c := range map[string]struct {
		args []string
		code int
	}{
		"give one Control-LoRA":               {[]string{"-m", "nano", "-o", b.path("x.safetensors")}, ExitUsage},
		"--model is missing":                  {[]string{in, "-o", b.path("x.safetensors")}, ExitUsage},
		"--output is missing":                 {[]string{in, "-m", "nano"}, ExitUsage},
		"must end in .safetensors":            {[]string{in, "-m", "nano", "-o", b.path("x.gguf")}, ExitUsage},
		"it must be f16, bf16 or f32":         {[]string{in, "-m", "nano", "-o", b.path("x.safetensors"), "--type", "q8_0"}, ExitUsage},
		"exclude each other":                  {[]string{in, "-m", "nano", "-o", b.path("x.safetensors"), "--json", "--quiet"}, ExitUsage},
		"exists already":                      {[]string{in, "-m", "nano", "-o", out}, ExitUsage},
		"no such file":                        {[]string{b.path("none.safetensors"), "-m", "nano", "-o", b.path("x.safetensors")}, ExitFile},
		"it has no network for the control p": {[]string{adapterGolden, "-m", "nano", "-o", b.path("x.safetensors")}, ExitFile},
	} {
		assert.Equal(t, c.code, b.run(append([]string{"control", "merge"}, c.args...)...), says)
		assert.Contains(t, b.stderr, says)
		assert.NoFileExists(t, b.path("x.safetensors"))
	}
}
