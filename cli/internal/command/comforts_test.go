package command

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// manifestOf reads what a picture says of how it was made.
func manifestOf(t *testing.T, path string) (m map[string]any) {
	t.Helper()
	_, text := readPNG(t, path)
	require.NoError(t, json.Unmarshal([]byte(text["daguerre"]), &m))
	return m
}

// TestOwnDefaults: flags over the run file over the user's own defaults over the program's; the picture says what came of it.
func TestOwnDefaults(t *testing.T) {
	b := newBench(t)
	b.config = t.TempDir()
	own := filepath.Join(b.config, "daguerre", "config.toml")
	require.NoError(t, os.MkdirAll(filepath.Dir(own), 0o700))
	write := func(text string) { require.NoError(t, os.WriteFile(own, []byte(text), 0o600)) }
	write("width = 64\nheight = 64\nnum_inference_steps = 3\nguidance_scale = 2.5\nseed = 11\n[model]\nmodel = 'nano'\nthreads = 2\n")
	file := b.write("run.toml", "prompt = 'x'\nguidance_scale = 3.5\nseed = 12\noutput = '"+b.path("f.png")+"'\n")

	require.Equal(t, ExitOK, b.run("generate", "-p", "a red circle", "-o", b.path("a.png")), b.stderr)
	assert.Contains(t, b.stderr, "with your own defaults: "+own)
	m := manifestOf(t, b.path("a.png"))
	assert.Equal(t, []any{64.0, 3.0, 2.5, 11.0}, []any{m["width"], m["num_inference_steps"], m["guidance_scale"], m["seed"]})
	opened := b.backend.Opened()
	assert.Equal(t, 2, opened[len(opened)-1].Threads)

	require.Equal(t, ExitOK, b.run("generate", "-c", file, "--seed", "13"), b.stderr)
	m = manifestOf(t, b.path("f.png"))
	assert.Equal(t, []any{64.0, 3.0, 3.5, 13.0}, []any{m["width"], m["num_inference_steps"], m["guidance_scale"], m["seed"]})

	require.Equal(t, ExitUsage, b.run("generate", "-p", "x", "--no-config"))
	assert.Contains(t, b.stderr, "--model is missing")
	b.native.devices = testDevices
	require.Equal(t, ExitOK, b.run("doctor"), b.stdout)
	assert.Contains(t, b.stdout, "your own defaults: "+own)
	assert.Contains(t, b.stdout, "guidance_scale = 2.5")

	for text, want := range map[string]string{"widht = 64": `widht: unknown key; did you mean "width"?`, "width = 100": "width: is 100",
		"[[job]]\nprompt = 'x'": "a file of defaults has no [[job]] tables", "= 3": "not TOML"} {
		write(text)
		assert.Equal(t, ExitUsage, b.run("generate", "-m", "nano", "-p", "x"), text)
		assert.Contains(t, b.stderr, want)
		assert.Contains(t, b.stderr, "your own defaults, "+own, "the file is named")
		assert.Contains(t, b.stderr, "Mend the file, or run with --no-config.")
		assert.Equal(t, ExitUsage, b.run("doctor"), text)
		assert.Contains(t, b.stdout, "fail  config")
	}
	write("strength = 0.5") // which goes with a picture only: that is the run's matter
	require.Equal(t, ExitUsage, b.run("generate", "-m", "nano", "-p", "x"))
	assert.Contains(t, b.stderr, "there is no --image it could apply to")
	require.NoError(t, os.Remove(own))
	require.NoError(t, os.Mkdir(own, 0o700))
	assert.Equal(t, ExitFile, b.run("generate", "-m", "nano", "-p", "x"))
	assert.Contains(t, b.stderr, "your own defaults: "+own+": is a directory; name a regular file; mend the file, or run with --no-config")
	require.NoError(t, os.Remove(own))
	require.NoError(t, os.Symlink(b.path("nowhere"), own))
	assert.Equal(t, ExitFile, b.run("generate", "-m", "nano", "-p", "x"), "a link to nothing is not the same as no file")
	assert.Contains(t, b.stderr, "your own defaults: "+own)
	require.NoError(t, os.Remove(own))
	require.Equal(t, ExitOK, b.run("doctor"), b.stdout)
	assert.Contains(t, b.stdout, "no defaults of your own; they would be in "+own)
}

// TestPictureToStdout: it is a PNG and nothing else, and a terminal does not get it.
func TestPictureToStdout(t *testing.T) {
	b := newBench(t)
	t.Setenv("TMPDIR", b.dir)
	require.Equal(t, ExitOK, b.run(small("-o", "-")...), b.stderr)
	img, err := png.Decode(bytes.NewReader([]byte(b.stdout)))
	require.NoError(t, err)
	assert.Equal(t, image.Rect(0, 0, 64, 64), img.Bounds())
	assert.Contains(t, b.stderr, "\n-  64x64  seed 7  ")
	assert.Empty(t, b.files(), "nothing is left")
	require.Equal(t, ExitOK, b.run("demo", "-o", "-"), b.stderr)
	_, err = png.Decode(bytes.NewReader([]byte(b.stdout)))
	require.NoError(t, err)
	for want, args := range map[string][]string{"takes one picture": {"-n", "2"}, "where --json writes": {"--json"}} {
		require.Equal(t, ExitUsage, b.run(small(append(args, "-o", "-")...)...))
		assert.Contains(t, b.stderr, want)
		assert.Empty(t, b.stdout)
	}
	b.width = 80
	require.Equal(t, ExitUsage, b.run(small("-o", "-")...))
	assert.Contains(t, b.stderr, "--output is standard output, which is a terminal now")
}

// TestStandardInputAndFiles: -c - reads a run file, and -p @FILE a prompt.
func TestStandardInputAndFiles(t *testing.T) {
	b := newBench(t)
	for _, text := range []string{"prompt = 'a fox'\nmodel = 'nano'\nwidth = 64\nheight = 64\nnum_inference_steps = 1\n",
		`{"prompt": "a fox", "model": "nano", "width": 64, "height": 64, "numInferenceSteps": 1}`} {
		b.stdin = text
		require.Equal(t, ExitOK, b.run("generate", "-c", "-", "-o", b.path("x.png"), "--overwrite"), b.stderr)
		assert.Equal(t, "a fox", manifestOf(t, b.path("x.png"))["prompt"])
	}
	b.stdin = "promt = 'x'"
	require.Equal(t, ExitUsage, b.run("generate", "-c", "-"))
	assert.Contains(t, b.stderr, "standard input: promt: unknown key")

	text := b.write("prompt.txt", "a red\ncircle\n")
	require.Equal(t, ExitOK, b.run(small("--prompt", "@"+text, "--negative-prompt", "@@home", "-o", b.path("y.png"))...), b.stderr)
	m := manifestOf(t, b.path("y.png"))
	assert.Equal(t, []any{"a red\ncircle", "@home"}, []any{m["prompt"], m["negative_prompt"]})
	text = b.write("windows.txt", "\ufeffa red\r\ncircle\r\n")
	require.Equal(t, ExitOK, b.run(small("--prompt", "@"+text, "-o", b.path("z.png"))...), b.stderr)
	assert.Equal(t, "a red\ncircle", manifestOf(t, b.path("z.png"))["prompt"], "as an editor of Windows writes it")
	require.Equal(t, ExitUsage, b.run(small("--prompt", "@")...))
	assert.Contains(t, b.stderr, "--prompt is @ without a file; write @FILE")
	require.Equal(t, ExitFile, b.run(small("--prompt", "@"+b.path("promt.txt"))...))
	assert.Contains(t, b.stderr, "--prompt @"+b.path("promt.txt")+": no such file; did you mean")
}

// TestWorkerOnATerminal explains itself, and goes on.
func TestWorkerOnATerminal(t *testing.T) {
	b := newBench(t)
	b.typed = true
	require.Equal(t, ExitOK, b.run("worker"))
	assert.Contains(t, b.stderr, "Ctrl-D ends the worker")
	assert.Contains(t, b.stdout, `"hello"`)
	b.typed = false
	require.Equal(t, ExitOK, b.run("worker"))
	assert.NotContains(t, b.stderr, "Ctrl-D")
	require.Equal(t, ExitOK, b.run("version"))
	assert.Contains(t, b.stdout, "daguerre "+Version())
}

// TestLargePhotographs: plan and generate say that a photograph makes the picture far larger than the model's own size.
func TestLargePhotographs(t *testing.T) {
	b := newBench(t)
	b.real = true
	b.plan = func(cfg pipeline.Config, jobs []request.Request) (pipeline.MemoryPlan, error) {
		return pipeline.Plan(b.ctx, cfg, jobs)
	}
	file := func(name string, side int) string {
		var data bytes.Buffer
		require.NoError(t, png.Encode(&data, image.NewGray(image.Rect(0, 0, side, side))))
		return b.write(name, data.String())
	}
	large, fitting := file("large.png", 256), file("fitting.png", 128)
	for _, command := range [][]string{{"plan"}, {"generate", "--steps", "1", "--strength", "1", "-o", b.path("x.png")}} {
		args := append(command, "--model", "nano", "--prompt", "x")
		require.Equal(t, ExitOK, b.run(append(args, "--image", large)...), b.stderr)
		assert.Contains(t, b.stderr, "--image is 256 x 256, and the model's own size is 128 x 128", command[0])
		assert.Contains(t, b.stderr, "such as 128 and 128")
		for _, quiet := range [][]string{{"--image", fitting}, {"--image", large, "-W", "128", "-H", "128"}} {
			require.Equal(t, ExitOK, b.run(append(args, quiet...)...), b.stderr)
			assert.NotContains(t, b.stderr, "own size", "%v %v", command[0], quiet)
		}
	}
}
