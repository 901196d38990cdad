package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/internal/npy"
)

func TestDemo(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "demo.png")
	r := run(t, "demo", "-o", out)
	require.Equal(t, 0, r.code, r.stderr)
	assert.Regexp(t, `demo\.png  128x128  seed 42  [0-9.]+ s  \(embedded nano model`, r.stdout)
	img, text := readPNG(t, out)
	assert.Equal(t, 128, img.Bounds().Dx())
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(text["daguerre"]), &m))
	assert.Contains(t, m["engine"], "ggml 0.26.0 (llama-cpp-sys-2 0.1.161)")
	// CPU time, since other tests may be running; on a machine of its own it is about the time that passes.
	assert.Less(t, r.cpuSeconds, 5.0, "from the command to the picture, unpacking the model included")
}

func TestDemoShowsWhatWasAskedFor(t *testing.T) {
	dir := t.TempDir()
	for i, prompt := range []string{"a red circle on a blue background", "a green square on a white background"} {
		out := filepath.Join(dir, fmt.Sprint(i, ".png"))
		require.Equal(t, 0, run(t, "demo", prompt, "-o", out).code)
		img, _ := readPNG(t, out)
		score, err := checker.Score(img, prompt)
		require.NoError(t, err)
		assert.True(t, score.OK(), "%q shows %+v", prompt, score.Found)
	}
}

func TestVersion(t *testing.T) {
	r := run(t, "--version")
	require.Equal(t, 0, r.code, r.stderr)
	assert.Contains(t, r.stdout, "ggml 0.26.0 (llama-cpp-sys-2 0.1.161)")
}

func TestDoctor(t *testing.T) {
	r := run(t, "doctor", "--deep")
	require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
	assert.Contains(t, r.stdout, "loaded")
	assert.NotContains(t, r.stdout, "fail ")
	assert.Regexp(t, `(?m)^ok    compute `, r.stdout)
	assert.Regexp(t, `(?m)^ +cpu +auto +\w+ +[0-9.e-]+ +[0-9.]+ dB`, r.stdout)
	var d map[string]any
	r = run(t, "doctor", "--json")
	require.Equal(t, 0, r.code)
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &d))
	assert.Equal(t, true, d["ok"])
}

func TestDevices(t *testing.T) {
	r := run(t, "devices", "--json")
	require.Equal(t, 0, r.code, r.stderr)
	var list []map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &list))
	require.NotEmpty(t, list)
	found := false
	for _, d := range list {
		found = found || d["id"] == "cpu"
	}
	assert.True(t, found, "%v", list)
}

func TestMissingLibrary(t *testing.T) {
	cmd := prepare(t, "demo", "-o", filepath.Join(t.TempDir(), "x.png"))
	cmd.Env = append(cmd.Env, "DAGUERRE_LIBRARY="+filepath.Join(t.TempDir(), "none.so"))
	r := finish(t, cmd)
	assert.Equal(t, 5, r.code)
	assert.Contains(t, r.stderr, "none.so")
	assert.Contains(t, r.stderr, "DAGUERRE_LIBRARY")
	cmd = prepare(t, "doctor")
	cmd.Env = append(cmd.Env, "DAGUERRE_LIBRARY="+filepath.Join(t.TempDir(), "none.so"))
	r = finish(t, cmd)
	assert.Equal(t, 5, r.code)
	assert.Contains(t, r.stdout, "fail  library")
}

func TestRunFileOfTwoJobs(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "run.toml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
num_inference_steps = 4
seed = 11
[model]
model = "nano"
[[job]]
prompt = "a red circle on a blue background"
output = %q
[[job]]
prompt = "a green square on a white background"
num_images = 2
output = %q
`, dir+"/one/{job}-{seed}.png", dir+"/two/{index}.webp"), 0o600))
	r := run(t, "generate", "-c", config, "--json", "--threads", "1")
	require.Equal(t, 0, r.code, r.stderr)
	all := events(t, r.stdout)
	assert.Equal(t, "start", all[0]["event"])
	assert.Equal(t, "done", all[len(all)-1]["event"])
	assert.EqualValues(t, 3, all[len(all)-1]["images"])
	assert.Equal(t, []string{"0-11.png"}, list(t, filepath.Join(dir, "one")))
	assert.Equal(t, []string{"0.webp", "1.webp"}, list(t, filepath.Join(dir, "two")))
}

// psnr compares two arrays of equal size by their largest value.
func psnr(a, b []float32) float64 {
	var sum, peak float64
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
		peak = max(peak, math.Abs(float64(a[i])))
	}
	return 10 * math.Log10(peak*peak/(sum/float64(len(a))+1e-30))
}

func TestNoiseInLatentsOut(t *testing.T) {
	dir := t.TempDir()
	latents := func(name string, args ...string) npy.Array {
		file := filepath.Join(dir, name+".npy")
		r := run(t, append([]string{"generate", "--model", "nano", "--threads", "1", "--prompt", "a red circle on a blue background", "--steps",
			"4", "--precision", "exact",
			"--quiet", "--save-latents", file, "-o", filepath.Join(dir, name+".png")}, args...)...)
		require.Equal(t, 0, r.code, r.stderr)
		assert.Empty(t, r.stdout+r.stderr)
		a, err := npy.ReadFile(file)
		require.NoError(t, err)
		return a
	}
	noise := npy.Array{Shape: []int{1, 4, 16, 16}, Data: make([]float32, 4*16*16)}
	for i := range noise.Data { // sums of sines are near enough to normal for this
		x := float64(i)
		noise.Data[i] = float32(math.Sin(x*12.9898) + math.Sin(x*78.233) + math.Sin(x*37.719))
	}
	require.NoError(t, npy.WriteFile(filepath.Join(dir, "noise.npy"), noise))
	a := latents("a", "--noise", filepath.Join(dir, "noise.npy"), "--seed", "1")
	b := latents("b", "--noise", filepath.Join(dir, "noise.npy"), "--seed", "2")
	assert.Equal(t, []int{1, 4, 16, 16}, a.Shape)
	assert.Equal(t, a.Data, b.Data, "the noise decides")
	four := latents("four", "--seed", "5", "-n", "4")
	assert.Equal(t, []int{4, 4, 16, 16}, four.Shape)
	third := latents("third", "--seed", "7")
	assert.Greater(t, psnr(four.Data[2*1024:3*1024], third.Data), 80.0, "picture 2 of seed 5 is that of seed 7")
}

func TestImageToImageAndFormats(t *testing.T) {
	dir := t.TempDir()
	start := filepath.Join(dir, "start.webp")
	require.Equal(t, 0, run(t, "demo", "-o", start).code)
	r := run(t, "generate", "--model", "nano", "--threads", "1", "--image", start, "--strength", "0.5", "--steps", "6", "--prompt",
		"a green circle on a blue background",
		"-o", filepath.Join(dir, "end.jpg"))
	require.Equal(t, 0, r.code, r.stderr)
	data, err := os.ReadFile(filepath.Join(dir, "end.jpg"))
	require.NoError(t, err)
	assert.True(t, bytes.HasPrefix(data, []byte{0xff, 0xd8}))
}

// TestInterrupt interrupts a long run in the middle of denoising.
func TestInterrupt(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			cmd := prepare(t, "generate", "--model", "nano", "--threads", "1", "--prompt", "a red circle on a blue background", "--steps", "1000",
				"-n", "8",
				"--batch", "8", "--json", "-o", filepath.Join(dir, "x.png"), "--save-latents", filepath.Join(dir, "x.npy"))
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			var errs bytes.Buffer
			cmd.Stderr = &errs
			require.NoError(t, cmd.Start())
			lines := bufio.NewScanner(stdout)
			for lines.Scan() {
				var e map[string]any
				require.NoError(t, json.Unmarshal(lines.Bytes(), &e))
				if e["event"] == "progress" && e["done"].(float64) >= 2 {
					break
				}
			}
			began := time.Now()
			require.NoError(t, cmd.Process.Signal(sig))
			last := ""
			for lines.Scan() {
				last = lines.Text()
			}
			require.Error(t, cmd.Wait())
			assert.Less(t, time.Since(began), time.Minute)
			assert.Equal(t, 130, cmd.ProcessState.ExitCode(), errs.String())
			assert.Contains(t, errs.String(), "cancelled")
			assert.Contains(t, last, `"event":"error"`)
			assert.Empty(t, list(t, dir), "nothing partial")
		})
	}
}

func TestSynthesizedModelGenerates(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"nano.safetensors", "nano.gguf", "nano.ckpt", "folder/"} {
		path := dir + "/" + name
		r := run(t, "models", "synth", "--kind", "nano", "-o", path)
		require.Equal(t, 0, r.code, r.stderr)
		r = run(t, "models", "inspect", strings.TrimSuffix(path, "/"), "--check")
		require.Equal(t, 0, r.code, r.stderr)
		out := filepath.Join(dir, filepath.Base(name)+".png")
		r = run(t, "generate", "--model", strings.TrimSuffix(path, "/"), "--threads", "1", "--prompt", "x", "--steps", "2", "-o", out)
		require.Equal(t, 0, r.code, "%s: %s", name, r.stderr)
		_, text := readPNG(t, out)
		assert.Contains(t, text["daguerre"], `"sha256"`)
	}
}

// TestReaderGoesAway closes the program's standard output early: the picture is made all the same.
func TestReaderGoesAway(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.png")
	cmd := prepare(t, "demo", "--json", "-o", file)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, stdout.Close())
	require.NoError(t, cmd.Wait())
	assert.FileExists(t, file)
}
