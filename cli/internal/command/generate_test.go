package command

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// readPNG returns a file's picture and text.
func readPNG(t *testing.T, path string) (image.Image, map[string]string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	img, err := png.Decode(strings.NewReader(string(data)))
	require.NoError(t, err)
	texts, err := imagefile.ReadText(data)
	require.NoError(t, err)
	out := map[string]string{}
	for _, x := range texts {
		out[x.Keyword] = x.Value
	}
	return img, out
}

func samePicture(a, b image.Image) bool {
	if a.Bounds() != b.Bounds() {
		return false
	}
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			if color.NRGBAModel.Convert(a.At(x, y)) != color.NRGBAModel.Convert(b.At(x, y)) {
				return false
			}
		}
	}
	return true
}

func TestGeneratePNG(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run(small("--negative-prompt", "blur, ünsharp", "--guidance-scale", "4.5", "-o", b.path("a.png"))...), b.stderr)
	assert.Equal(t, []string{"a.png"}, b.files())
	assert.Contains(t, b.stdout, "a.png  64x64  seed 7")
	assert.Contains(t, b.stderr, `"a red circle"  64x64, 3 steps, seed 7`)

	img, text := readPNG(t, b.path("a.png"))
	assert.Equal(t, image.Rect(0, 0, 64, 64), img.Bounds())
	assert.Equal(t,
		"a red circle\nNegative prompt: blur, ünsharp\nSteps: 3, Sampler: Euler, CFG scale: 4.5, Seed: 7, Size: 64x64, Model hash: "+
			nano.BaseSHA256()[:10]+", Model: nano, RNG: CPU, Version: daguerre "+Version(), text["parameters"])
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(text["daguerre"]), &m))
	for key, want := range map[string]any{"software": "daguerre", "version": Version(), "engine": "ggml 0.26.0 (llama-cpp-sys-2 0.1.161)",
		"library": "cpu 0.0.1",
		"seed":    7.0, "index": 0.0, "prompt": "a red circle", "negative_prompt": "blur, ünsharp", "num_inference_steps": 3.0,
		"guidance_scale": 4.5, "width": 64.0, "height": 64.0, "rng": "cpu"} {
		assert.Equal(t, want, m[key], key)
	}
	assert.Equal(t, "EulerDiscreteScheduler", m["scheduler"].(map[string]any)["name"])
	assert.NotEmpty(t, m["scheduler"].(map[string]any)["options"])
	assert.Equal(t, nano.BaseSHA256(), m["model"].(map[string]any)["sha256"])
	file := m["files"].([]any)[0].(map[string]any)
	assert.Equal(t, "model", file["role"])
	assert.Equal(t, nano.BaseSHA256(), file["sha256"])
	assert.NotContains(t, text["daguerre"], b.dir, "no folder of this machine")
}

func TestGenerateIsDeterministicToTheByte(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run(small("-o", b.path("a.png"))...), b.stderr)
	require.Equal(t, ExitOK, b.run(small("-o", b.path("b.png"))...), b.stderr)
	x, err := os.ReadFile(b.path("a.png"))
	require.NoError(t, err)
	y, err := os.ReadFile(b.path("b.png"))
	require.NoError(t, err)
	assert.Equal(t, x, y)
}

func TestGenerateWithoutMetadata(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run(small("--metadata=false", "-o", b.path("a.png"))...), b.stderr)
	_, text := readPNG(t, b.path("a.png"))
	assert.Empty(t, text)
}

func TestGenerateSurvivesAModelThatCannotBeHashed(t *testing.T) {
	b := newBench(t)
	require.NoError(t, os.Mkdir(b.path("gone.safetensors"), 0o700)) // the fake reads no files
	args := small("-n", "2", "-o", b.path("a.png"), "--model", b.path("gone.safetensors"))
	require.Equal(t, ExitOK, b.run(args...), b.stderr)
	assert.Equal(t, 1, strings.Count(b.stderr, "warning: pictures will not name the model by its hash"), b.stderr)
	_, text := readPNG(t, b.path("a-0.png"))
	assert.Contains(t, text["parameters"], "Model: gone")
	assert.NotContains(t, text["parameters"], "Model hash")
}

func TestGenerateFormats(t *testing.T) {
	b := newBench(t)
	for name, magic := range map[string]string{"a.jpg": "\xff\xd8\xff", "b.webp": "RIFF", "c.jpeg": "\xff\xd8\xff"} {
		require.Equal(t, ExitOK, b.run(small("-o", b.path(name))...), b.stderr)
		data, err := os.ReadFile(b.path(name))
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(string(data), magic), name)
	}
	require.Equal(t, ExitOK, b.run(small("-o", b.path("low.jpg"), "--quality", "10")...), b.stderr)
	low, err := os.Stat(b.path("low.jpg"))
	require.NoError(t, err)
	high, err := os.Stat(b.path("a.jpg"))
	require.NoError(t, err)
	assert.Less(t, low.Size(), high.Size())
}

func TestGenerateManyImages(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run(small("-n", "3", "-o", b.path("x.png"))...), b.stderr)
	assert.Equal(t, []string{"x-0.png", "x-1.png", "x-2.png"}, b.files())
	assert.Contains(t, b.stderr, "3 pictures in ")
	require.Equal(t, ExitOK, b.run(small("--seed", "8", "-o", b.path("single.png"))...), b.stderr)
	one, _ := readPNG(t, b.path("x-1.png"))
	alone, text := readPNG(t, b.path("single.png"))
	assert.True(t, samePicture(one, alone), "picture 1 of seed 7 is that of seed 8")
	assert.Contains(t, text["parameters"], "Seed: 8")
	require.Equal(t, ExitOK, b.run(small("-n", "2", "-o", filepath.Join(b.dir, "sub", "{seed:4}_{index:2}.png"))...), b.stderr)
	assert.FileExists(t, b.path("sub/0008_01.png"))
	require.Equal(t, ExitOK, b.run(small("-o", b.path("folder")+"/")...), b.stderr)
	assert.FileExists(t, b.path("folder/daguerre-7.png"))
}

func TestGenerateKeepsFilesThatExist(t *testing.T) {
	b := newBench(t)
	b.write("a.png", "precious")
	require.Equal(t, ExitOK, b.run(small("-o", b.path("a.png"))...), b.stderr)
	assert.Contains(t, b.stdout, "a-2.png")
	data, err := os.ReadFile(b.path("a.png"))
	require.NoError(t, err)
	assert.Equal(t, "precious", string(data))
	require.Equal(t, ExitOK, b.run(small("-o", b.path("a.png"), "--overwrite")...), b.stderr)
	readPNG(t, b.path("a.png"))
}

const twoJobs = `
num_inference_steps = 3
width = 64
height = 64
seed = 5

[model]
model = "nano"

[[job]]
prompt = "a red circle"
output = "OUT/{job}-{seed}.png"

[[job]]
prompt = "a blue square"
num_images = 2
output = "OUT/{job}-{index}.webp"
`

func TestGenerateRunFile(t *testing.T) {
	b := newBench(t)
	config := b.write("run.toml", strings.ReplaceAll(twoJobs, "OUT", b.path("out")))
	require.Equal(t, ExitOK, b.run("generate", "-c", config), b.stderr)
	assert.Contains(t, b.stderr, `job 2/2  "a blue square"  64x64, 3 steps, seed 5, 2 pictures`)
	assert.FileExists(t, b.path("out/0-5.png"))
	assert.FileExists(t, b.path("out/1-0.webp"))
	assert.FileExists(t, b.path("out/1-1.webp"))
	assert.Equal(t, 1, b.backend.Count(fake.OpOpen), "one model for all jobs")
	assert.Zero(t, b.backend.LiveModels())

	require.Equal(t, ExitOK, b.run("generate", "-c", config, "--seed", "9", "--steps", "2", "-o", b.path("all.png"), "--threads", "1"),
		b.stderr)
	_, text := readPNG(t, b.path("all.png"))
	assert.Contains(t, text["parameters"], "Steps: 2, ")
	assert.Contains(t, text["parameters"], "Seed: 9, ")
	assert.FileExists(t, b.path("all-0.png"))
	assert.FileExists(t, b.path("all-1.png"))
	opened := b.backend.Opened()
	assert.Equal(t, 1, opened[len(opened)-1].Threads)
}

func TestGenerateRunFileMistakes(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct{ text, want string }{
		"unknown key": {"promt = \"x\"\n[model]\nmodel = \"nano\"", `promt: unknown key; did you mean "prompt"?`},
		"unknown model key": {"prompt = \"x\"\n[model]\nmodel = \"nano\"\nprecison = \"f16\"",
			`model.precison: unknown key; did you mean "precision"?`},
		"no TOML":      {"prompt = ", "not TOML"},
		"wrong type":   {"prompt = 3\nmodel = \"nano\"", "prompt: is 3"},
		"job's value":  {"prompt = 'x'\nmodel = \"nano\"\n[[job]]\nprompt = \"x\"\n[[job]]\nwidth = 12", "jobs[1].width"},
		"two mistakes": {"prompt = 'x'\nmodel = \"nano\"\nwidth = 3\nheight = 5", "height: is 5"},
		"option":       {"prompt = 'x'\nmodel = \"nano\"\n[scheduler_options]\nuse_karas_sigmas = true", "use_karras_sigmas"},
		"huge":         {"model = \"nano\"\nprompt = \"" + strings.Repeat("word ", 12<<20) + "\"", "8 MiB"},
		"long prompt":  {"model = \"nano\"\nprompt = \"" + strings.Repeat("word ", 20<<10) + "\"", "prompt: has 102400 bytes"},
		"output":       {"prompt = 'x'\nmodel = \"nano\"\n[[job]]\noutput = \"{nope}.png\"", "jobs[0].output"},
	} {
		t.Run(name, func(t *testing.T) {
			path := b.write("run.toml", c.text)
			assert.Equal(t, ExitUsage, b.run("generate", "-c", path, "--quiet"), b.stderr)
			assert.Contains(t, b.stderr, c.want)
			assert.Contains(t, b.stderr, "run.toml", "the file is named")
			assert.Equal(t, []string{"run.toml"}, b.files())
		})
	}
}

func TestGenerateInputFiles(t *testing.T) {
	b := newBench(t)
	b.write("text.png", "not a picture")
	b.write("bad.npy", "not an array")
	in := t.TempDir()
	require.Equal(t, ExitOK, b.run(small("-o", filepath.Join(in, "in.png"))...), b.stderr)
	noise := npy.Array{Shape: []int{1, 4, 4, 4}, Data: make([]float32, 64)}
	require.NoError(t, npy.WriteFile(filepath.Join(in, "small.npy"), noise))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"missing image":  {[]string{"--image", filepath.Join(in, "none.png")}, "--image: "},
		"text as image":  {[]string{"--image", b.path("text.png")}, "text.png: not a readable PNG, JPEG, GIF or WebP file"},
		"folder":         {[]string{"--image", in}, "--image: "},
		"bad mask":       {[]string{"--image", filepath.Join(in, "in.png"), "--mask", b.path("text.png")}, "--mask: "},
		"bad noise":      {[]string{"--noise", b.path("bad.npy")}, "noise"},
		"missing noise":  {[]string{"--noise", filepath.Join(in, "none.npy")}, "noise"},
		"noise of shape": {[]string{"--noise", filepath.Join(in, "small.npy")}, "expected [1, 4, 8, 8]"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, ExitFile, b.run(small(append(c.args, "-o", b.path("o.png"))...)...), b.stderr)
			assert.Contains(t, b.stderr, c.want)
			assert.NoFileExists(t, b.path("o.png"))
		})
	}
	require.Equal(t, ExitOK, b.run(small("--image", filepath.Join(in, "in.png"), "--strength", "0.7", "-o", b.path("o.png"))...), b.stderr)
	_, text := readPNG(t, b.path("o.png"))
	assert.Contains(t, text["parameters"], "Denoising strength: 0.7")
}

// TestGenerateMasks: every option of a mask has a flag, and the picture's text says it in A1111's words.
func TestGenerateMasks(t *testing.T) {
	b := newBench(t)
	in := b.path("in.png")
	require.Equal(t, ExitOK, b.run(small("-o", in)...), b.stderr)
	require.Equal(t, ExitOK, b.run(small("--image", in, "--mask", in, "--mask-blur", "2.5", "--mask-invert", "--only-masked", "--mask-padding",
		"0", "--mask-fill", "latent_noise", "--mask-soft", "-o", b.path("o.png"))...), b.stderr)
	_, text := readPNG(t, b.path("o.png"))
	assert.Contains(t, text["parameters"], "Mask blur: 2.5, Inpaint area: Only masked, Masked area padding: 0, Masked content: latent noise, "+
		"Mask mode: Inpaint not masked, Differential diffusion: True")
	assert.NotEqual(t, ExitOK, b.run(small("--image", in, "--mask-blur", "2", "-o", b.path("p.png"))...))
	assert.Contains(t, b.stderr, "there is no mask_image")
	assert.NoFileExists(t, b.path("p.png"))
}

func TestGenerateNoiseAndLatents(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run(small("-n", "2", "--save-latents", b.path("{seed}.npy"), "-o", b.path("a.png"))...), b.stderr)
	latents, err := npy.ReadFile(b.path("7.npy"))
	require.NoError(t, err)
	assert.Equal(t, []int{2, 4, 8, 8}, latents.Shape)
	assert.Contains(t, b.stdout, "latents [2 4 8 8]")
	noise := npy.Array{Shape: []int{1, 4, 8, 8}, Data: make([]float32, 256)}
	for i := range noise.Data {
		noise.Data[i] = float32(i%7) - 3
	}
	require.NoError(t, npy.WriteFile(b.path("noise.npy"), noise))
	require.Equal(t, ExitOK, b.run(small("--noise", b.path("noise.npy"), "--seed", "1", "-o", b.path("n1.png"))...), b.stderr)
	require.Equal(t, ExitOK, b.run(small("--noise", b.path("noise.npy"), "--seed", "2", "-o", b.path("n2.png"))...), b.stderr)
	one, _ := readPNG(t, b.path("n1.png"))
	two, _ := readPNG(t, b.path("n2.png"))
	assert.True(t, samePicture(one, two), "the noise decides, not the seed")
	other, _ := readPNG(t, b.path("a-0.png"))
	assert.False(t, samePicture(one, other))
}

func TestGenerateJSON(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run(small("-n", "2", "--json", "--save-latents", b.path("l.npy"), "-o", b.path("a.png"))...), b.stderr)
	assert.Empty(t, b.stderr)
	kinds := map[string]int{}
	last := map[string]float64{}
	for _, e := range b.events() {
		assert.EqualValues(t, 1, e["schema"])
		kinds[e["event"].(string)]++
		if e["event"] == "progress" {
			for _, key := range []string{"job", "step", "steps", "done", "total", "batch", "batches", "seconds", "eta_seconds", "steps_per_second"} {
				assert.IsType(t, 0.0, e[key], key)
			}
			assert.GreaterOrEqual(t, e["done"].(float64), last["done"])
			last["done"], last["total"] = e["done"].(float64), e["total"].(float64)
		}
	}
	assert.Equal(t, last["total"], last["done"], "the last report is complete")
	for _, kind := range []string{"start", "model", "job", "latents", "done"} {
		assert.Equal(t, 1, kinds[kind], kind)
	}
	assert.Equal(t, 2, kinds["image"])
	events := b.events()
	assert.Equal(t, "start", events[0]["event"])
	assert.Equal(t, "done", events[len(events)-1]["event"])
}

func TestGenerateJSONFailure(t *testing.T) {
	b := newBench(t)
	b.backend.Hook = func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpUNet && c.Nth == 1 {
			return errors.New("planted")
		}
		return nil
	}
	require.Equal(t, ExitFailure, b.run(small("--json", "-o", b.path("a.png"))...))
	events := b.events()
	last := events[len(events)-1]
	assert.Equal(t, "error", last["event"])
	assert.EqualValues(t, ExitFailure, last["exit_code"])
	assert.Contains(t, last["message"], "planted")
	assert.Contains(t, b.stderr, "planted", "a person sees it too")
	assert.Empty(t, b.files())
	assert.Zero(t, b.backend.LiveModels())
}

func TestGeneratePreview(t *testing.T) {
	b := newBench(t)
	b.write("a-0.preview.png", "somebody's own")
	require.Equal(t, ExitOK, b.run(small("--preview", "1", "-n", "2", "--json", "-o", b.path("a.png"))...), b.stderr)
	assert.Equal(t, []string{"a-0.png", "a-0.preview.png", "a-1.png"}, b.files(), "previews go away, other files do not")
	seen := 0
	for _, e := range b.events() {
		if e["event"] == "preview" {
			seen++
			assert.Contains(t, []string{b.path("a-0.preview-2.png"), b.path("a-1.preview.png")}, e["path"])
		}
	}
	assert.Equal(t, 4, seen, "of two pictures, at every step but the last")
	assert.Equal(t, ExitUsage, b.run(small("--preview", "0", "-o", b.path("b.png"))...))
}

func TestGenerateQuiet(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run(small("--quiet", "-o", b.path("a.png"))...))
	assert.Empty(t, b.stdout)
	assert.Empty(t, b.stderr)
	assert.Equal(t, []string{"a.png"}, b.files())
}

func TestGenerateOnATerminal(t *testing.T) {
	b := newBench(t)
	b.term = true
	require.Equal(t, ExitOK, b.run(small("-o", b.path("a.png"))...))
	assert.Contains(t, b.stderr, "█")
	assert.NotContains(t, b.stdout, "█")
}
