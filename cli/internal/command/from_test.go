package command

import (
	"bytes"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// writePNG writes a picture file with a text.
func (b *bench) writePNG(name, keyword, text string) string {
	b.t.Helper()
	data, err := imagefile.Encode(image.NewNRGBA(image.Rect(0, 0, 8, 8)), imagefile.PNG, imagefile.EncodeOptions{
		Text: []imagefile.Text{{Keyword: keyword, Value: text}}})
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(b.path(name), data, 0o600))
	return b.path(name)
}

// forumText is a text of A1111 whose model is here.
const forumText = "a red circle <lora:outline:0.5>\nNegative prompt: ring\nSteps: 3, Sampler: Euler a, CFG scale: 4, Seed: 9, " +
	"Size: 64x64, Model: nano, Lora hashes: \"outline: 112233445566\", Version: v1.10.1"

// TestFromPicture: the settings of a picture are used; flags change them; what is not used is told.
func TestFromPicture(t *testing.T) {
	b := newBench(t)
	foreign := b.writePNG("forum.png", "parameters", forumText)
	require.Equal(t, ExitOK, b.run("generate", "--from", foreign, "-o", b.path("a.png")), b.stderr)
	for _, want := range []string{"settings of " + foreign + ", written by AUTOMATIC1111", "not used: Version: v1.10.1",
		`warning: the adapter "outline" (1122334455) is not here; it is left out: the picture will differ`} {
		assert.Contains(t, b.stderr, want)
	}
	m := manifestOf(t, b.path("a.png"))
	assert.Equal(t, []any{"a red circle ", "ring", 3.0, 4.0, 9.0, 64.0, "gpu"}, []any{m["prompt"], m["negative_prompt"],
		m["num_inference_steps"], m["guidance_scale"], m["seed"], m["width"], m["rng"]})
	assert.Equal(t, "EulerAncestralDiscreteScheduler", m["scheduler"].(map[string]any)["name"])

	require.Equal(t, ExitOK, b.run("generate", "--from", foreign, "--steps", "2", "--prompt", "a star", "--scheduler", "Heun",
		"-o", b.path("b.png")), b.stderr)
	m = manifestOf(t, b.path("b.png"))
	assert.Equal(t, []any{"a star", 2.0, 9.0}, []any{m["prompt"], m["num_inference_steps"], m["seed"]})
	assert.Equal(t, "HeunDiscreteScheduler", m["scheduler"].(map[string]any)["name"])

	// Our own picture, with another scheduler and other noise levels on top.
	require.Equal(t, ExitOK, b.run("generate", "--from", b.path("b.png"), "--sigmas", "karras", "-o", b.path("c.png")), b.stderr)
	assert.Equal(t, true, manifestOf(t, b.path("c.png"))["scheduler"].(map[string]any)["options"].(map[string]any)["use_karras_sigmas"])
	require.Equal(t, ExitOK, b.run("generate", "--from", b.path("c.png"), "--scheduler", "DDIM", "-o", b.path("d.png")), b.stderr)
	assert.Contains(t, b.stderr, "the options of the picture's scheduler are left out, since --scheduler is given")

	// The whole manifest is the same but for what is said of it.
	require.Equal(t, ExitOK, b.run("generate", "--from", b.path("a.png"), "-o", b.path("e.png")), b.stderr)
	first, again := manifestOf(t, b.path("a.png")), manifestOf(t, b.path("e.png"))
	for key, value := range first {
		if key != "scheduler" { // which knows the name that it was asked for by
			assert.Equal(t, value, again[key], key)
		}
	}
}

// TestFromPictureFindsFiles: an adapter is found by its name, by its hash under another name, and told if it is another file.
func TestFromPictureFindsFiles(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	put := func(name, data string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600))
	}
	data := []byte(adapterOfFake(t))
	put("outline.safetensors", string(data))
	require.Equal(t, ExitOK, b.run("generate", "--model", "nano", "-p", "x <lora:outline:0.5>", "--lora-dir", dir, "--steps", "2", "-W", "64",
		"-H", "64", "-s", "1", "-o", b.path("a.png")), b.stderr)
	again := func(want string) {
		t.Helper()
		require.Equal(t, ExitOK, b.run("generate", "--from", b.path("a.png"), "--lora-dir", dir, "-o", b.path("b.png"), "--overwrite"), b.stderr)
		if want == "" {
			assert.NotContains(t, b.stderr, "differ")
		} else {
			assert.Contains(t, b.stderr, want)
		}
	}
	again("")
	require.NoError(t, os.Rename(filepath.Join(dir, "outline.safetensors"), filepath.Join(dir, "lines-v2.safetensors")))
	again(`"outline" is "lines-v2" here, by its hash `)
	require.NoError(t, os.Remove(filepath.Join(dir, "lines-v2.safetensors")))
	data[len(data)-1] ^= 1 // another weight
	put("outline.safetensors", string(data))
	again("is not the file that the picture was made with: its hash is ")
	require.NoError(t, os.Rename(filepath.Join(dir, "outline.safetensors"), filepath.Join(dir, "outlime.safetensors")))
	again(`is not here; nearest by name: "outlime"; it is left out: the picture will differ`)
}

// TestFromPictureInputs: the picture to start from is found beside the picture; if it has changed, or is missing, this is told.
func TestFromPictureInputs(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run(small("-o", b.path("photo.png"))...), b.stderr)
	require.Equal(t, ExitOK, b.run(small("-o", b.path("a.png"), "--image", b.path("photo.png"), "--strength", "0.7")...), b.stderr)
	require.Equal(t, ExitOK, b.run("generate", "--from", b.path("a.png"), "-o", b.path("b.png")), b.stderr)
	assert.NotContains(t, b.stderr, "differ")
	assert.Equal(t, manifestOf(t, b.path("a.png"))["inputs"], manifestOf(t, b.path("b.png"))["inputs"])

	require.Equal(t, ExitOK, b.run(small("--guidance-scale", "2", "-o", b.path("photo.png"), "--overwrite")...), b.stderr)
	require.Equal(t, ExitOK, b.run("generate", "--from", b.path("a.png"), "-o", b.path("c.png")), b.stderr)
	assert.Contains(t, b.stderr, "does not have the contents that the picture was made with")
	require.NoError(t, os.Remove(b.path("photo.png")))
	require.Equal(t, ExitFile, b.run("generate", "--from", b.path("a.png"), "-o", b.path("c.png")))
	assert.Contains(t, b.stderr, `--image: "photo.png" is not here; put the file into this folder or beside the picture, or give it with --image`)
	require.Equal(t, ExitOK, b.run("generate", "--from", b.path("a.png"), "--image", b.path("b.png"), "-o", b.path("d.png")), b.stderr)
}

// TestFromPictureRefuses: what is no picture with settings is told with what helps.
func TestFromPictureRefuses(t *testing.T) {
	b := newBench(t)
	plain := b.writePNG("plain.png", "Comment", "hello")
	json := b.writePNG("swarm.png", "parameters", `{"sui_image_params": {}}`)
	bad := b.writePNG("bad.png", "daguerre", `{"manifest_version": 1, "width": 70, "prompt": "x", "scheduler": {"name": "Eular"}}`)
	gone := b.writePNG("gone.png", "parameters", strings.ReplaceAll(forumText, "nano", "juggernaut"))
	text := b.write("run.toml", "prompt = 'x'")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--from", plain}, ExitFile, "plain.png: the file carries no settings: it has neither a manifest of daguerre"},
		{[]string{"--from", json}, ExitFile, "as SwarmUI and Fooocus write them"},
		{[]string{"--from", text}, ExitFile, "only PNG files carry settings"},
		{[]string{"--from", b.path("nowhere.png")}, ExitFile, "nowhere.png"},
		{[]string{"--from", ""}, ExitUsage, "--from is empty"},
		{[]string{"--from", plain, "-c", text}, ExitUsage, "exclude each other"},
		{[]string{"--from", bad, "-m", "nano"}, ExitUsage, "--width is 70"},
		{[]string{"--from", gone}, ExitFile, `the model "juggernaut" is not here; give another one with --model`},
	} {
		require.Equal(t, c.code, b.run(append([]string{"generate", "-o", b.path("x.png")}, c.args...)...), "%v\n%s", c.args, b.stderr)
		assert.Contains(t, b.stderr, c.want)
	}
	require.Equal(t, ExitOK, b.run("generate", "--from", gone, "-m", "nano", "-o", b.path("x.png")), b.stderr)
}

// TestRequestFromPNG prints a run file that makes the picture again.
func TestRequestFromPNG(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run(small("-o", b.path("a.png"), "--guidance-scale", "3", "--scheduler", "DPM++ 2M Karras")...), b.stderr)
	require.Equal(t, ExitOK, b.run("request", "from-png", b.path("a.png")), b.stderr)
	assert.Empty(t, b.stderr)
	file := b.write("again.toml", b.stdout)
	require.Equal(t, ExitOK, b.run("generate", "-c", file, "-o", b.path("b.png")), b.stderr)
	one, err := os.ReadFile(b.path("a.png"))
	require.NoError(t, err)
	two, err := os.ReadFile(b.path("b.png"))
	require.NoError(t, err)
	img, _ := readPNG(t, b.path("a.png"))
	again, _ := readPNG(t, b.path("b.png"))
	assert.Equal(t, img, again)
	assert.False(t, bytes.Equal(one, two), "the name of the scheduler is another one")

	require.Equal(t, ExitOK, b.run("request", "from-png", b.writePNG("f.png", "parameters", forumText), "--to", "json"), b.stderr)
	assert.Contains(t, b.stderr, "note: not used: Version: v1.10.1")
	run, err := request.DecodeJSON([]byte(b.stdout))
	require.NoError(t, err)
	assert.Equal(t, "outline", run.Jobs[0].LoRAs[0].Name)
	require.Equal(t, ExitUsage, b.run("request", "from-png", b.path("f.png"), "--to", "yaml"))
	require.Equal(t, ExitUsage, b.run("request", "from-png"))
}
