package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// TestWrongRoles gives the program sound files in the wrong places, and ControlNets that cannot be: each ends with a clear error before any
// denoising, and without a file.
func TestWrongRoles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, o synth.Options) string {
		path := filepath.Join(dir, name+".safetensors")
		require.NoError(t, synth.Write(t.Context(), path, o))
		return path
	}
	base, refiner := write("base", synth.Options{Kind: synth.KindNano}), write("some-refiner", synth.Options{Kind: synth.KindNanoRefiner})
	adapter, net := write("some-lora", synth.Options{Kind: synth.KindNanoLoRA}), write("some-net", synth.Options{Kind: synth.KindNanoControl})
	upscaler := write("some-esrgan", synth.Options{Kind: synth.KindESRGAN})
	dims := modelfile.Preset("nano-controlnet")
	dims.ControlNet.UNet.LabelDim, dims.ControlNet.UNet.ContextDim = 0, 768
	sd1 := write("sd15-net", synth.Options{Kind: synth.KindNanoControl, Dims: &dims})
	text := filepath.Join(dir, "text.png")
	require.NoError(t, os.WriteFile(text, []byte("this is no picture"), 0o600))
	picture := filepath.Join(dir, "control.png")
	require.Equal(t, 0, run(t, "generate", "--model", "nano", "--prompt", "a red circle", "--steps", "1", "-o", picture, "-q").code)
	file := func(name, model, nets string) string {
		path := filepath.Join(dir, name+".toml")
		content := fmt.Sprintf("prompt = \"x\"\nwidth = 64\nheight = 64\nnum_inference_steps = 2\n%s\n[model]\nmodel = %q\n%s\n", nets, base,
			model)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	control := func(model, picture, more string) string {
		return fmt.Sprintf("[[controlnet]]\nmodel = %q\nimage = %q\n%s\n", model, picture, more)
	}
	sound := file("sound", "", control(net, picture, ""))
	before := list(t, dir)
	for _, c := range []struct {
		name string
		code int
		args []string
		want []string
	}{
		{"a LoRA as VAE", 3, []string{"--model", base, "--vae", adapter}, []string{"vae", "some-lora", "this is a LoRA",
			"give a file with the weights of the vae"}},
		{"a LoRA as model", 3, []string{"--model", adapter}, []string{"some-lora", "this is a LoRA", "give an SDXL base"}},
		{"a refiner as base", 3, []string{"--model", refiner}, []string{"some-refiner", "this is an SDXL refiner", "and this as refiner"}},
		{"a ControlNet as base", 3, []string{"--model", net}, []string{"some-net", "this is a ControlNet"}},
		{"a ControlNet as refiner", 3, []string{"--model", base, "--refiner", net}, []string{"refiner", "some-net", "this is a ControlNet"}},
		{"an upscaler as TAESD", 3, []string{"--model", base, "--taesd", upscaler}, []string{"taesd", "some-esrgan", "this is an upscaler"}},
		{"a base as upscaler", 3, []string{"--model", base, "--upscaler", base}, []string{"upscaler", "base", "give an ESRGAN model"}},
		{"hires without its model", 2, []string{"--model", base, "--hires-scale", "2", "--hires-upscaler", "model"}, []string{"--hires-upscaler",
			"name an ESRGAN file"}},
		{"an SD 1.5 ControlNet", 3, []string{"-c", file("sd15", "", control(sd1, picture, ""))}, []string{"controlnet[0].model", "sd15-net",
			"Stable Diffusion 1.x"}},
		{"a base as ControlNet", 3, []string{"-c", file("asnet", "", control(base, picture, ""))}, []string{"controlnet[0].model",
			"give a ControlNet, a ControlNet-XS or a T2I-Adapter for SDXL"}},
		{"no such ControlNet", 3, []string{"-c", file("nonet", "", control("no-net", picture, ""))}, []string{"controlnet[0].model",
			"no-net is no file"}},
		{"an unreadable control picture", 3, []string{"-c", file("nopic", "", control(net, text, ""))}, []string{"controlnet[0].image",
			"text.png"}},
		{"no control picture", 3, []string{"-c", file("gone", "", control(net, picture+"x", ""))}, []string{"controlnet[0].image",
			"control.pngx"}},
		{"start after end", 2, []string{"-c", file("order", "", control(net, picture, "start = 0.8\nend = 0.3"))},
			[]string{"controlnet[0].start", "0.8", "0.3", "never act"}},
		{"more nets than memory", 4, []string{"-c", file("memory", "controlnet_cache_mb = 1", control(net, picture, ""))},
			[]string{"controlnet[0]", "more memory", "controlnet_cache_mb allows 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "x.png")
			r := run(t, append([]string{"generate", "--prompt", "x", "--json", "-t", "1", "-o", out}, c.args...)...)
			assert.Equal(t, c.code, r.code, r.stderr)
			t.Log(strings.TrimSpace(r.stderr))
			for _, w := range c.want {
				assert.Contains(t, r.stderr, w)
			}
			for _, e := range events(t, r.stdout) {
				assert.NotEqual(t, "denoise", e["stage"], "before any denoising")
			}
			assert.NoFileExists(t, out)
		})
	}
	out := filepath.Join(t.TempDir(), "x.png")
	r := run(t, "generate", "-c", sound, "-t", "1", "-q", "-o", out)
	assert.Equal(t, 0, r.code, "a control picture of another size is brought to the picture's: %s", r.stderr)
	assert.FileExists(t, out)
	for _, name := range list(t, dir) {
		if !strings.HasSuffix(name, ".toml") {
			assert.Contains(t, before, name)
		}
	}
}
