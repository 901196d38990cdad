package e2e

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// picturePSNR compares two pictures, in dB.
func picturePSNR(t *testing.T, a, b string) float64 {
	t.Helper()
	x, _ := readPNG(t, a)
	y, _ := readPNG(t, b)
	require.Equal(t, x.Bounds(), y.Bounds())
	var sum, n float64
	for i := x.Bounds().Min.Y; i < x.Bounds().Max.Y; i++ {
		for j := x.Bounds().Min.X; j < x.Bounds().Max.X; j++ {
			r, g, u, _ := x.At(j, i).RGBA()
			s, h, v, _ := y.At(j, i).RGBA()
			for _, d := range []float64{float64(r) - float64(s), float64(g) - float64(h), float64(u) - float64(v)} {
				sum += d * d / 257 / 257
				n++
			}
		}
	}
	return 10 * math.Log10(255*255/(sum/n))
}

// A converted model makes the picture of the one it was made from; the fewer bits, the less exactly.
func TestConvertedModelMakesThePicture(t *testing.T) {
	dir := t.TempDir()
	picture := func(model, name string) string {
		out := filepath.Join(dir, name+".png")
		r := run(t, "generate", "--model", model, "--prompt", "a red circle on a blue background", "--seed", "3", "--steps", "10", "-o", out)
		require.Equal(t, 0, r.code, r.stderr)
		return out
	}
	want := picture("nano", "f16")
	for _, c := range []struct {
		typ   string
		least float64 // dB
	}{{"q8_0", 40}, {"q4_k", 30}} {
		file := filepath.Join(dir, c.typ+".gguf")
		r := run(t, "models", "convert", "nano", file, "--type", c.typ, "--report")
		require.Equal(t, 0, r.code, r.stderr)
		assert.Contains(t, r.stdout, "every tensor was read back")
		assert.Contains(t, r.stdout, "model.diffusion_model.input_blocks.0.0.weight")
		require.Equal(t, 0, run(t, "models", "inspect", file, "--check").code)
		assert.Greater(t, picturePSNR(t, want, picture(file, c.typ)), c.least, c.typ)
	}
}

// Ctrl-C leaves neither the file nor a temporary one.
func TestConvertInterrupted(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(t.TempDir(), "vae.safetensors"), filepath.Join(dir, "x.gguf")
	require.Equal(t, 0, run(t, "models", "synth", "--kind", "vae", "-o", in, "--quiet").code)
	for range 20 {
		cmd := prepare(t, "models", "convert", in, out, "--type", "q4_k", "--rule", "vae=q2_k", "--quiet")
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool { entries, _ := os.ReadDir(dir); return len(entries) > 0 }, time.Minute, time.Millisecond,
			"it began to write")
		require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
		if cmd.Wait() == nil { // it had ended before this process saw the file
			require.NoError(t, os.Remove(out))
			continue
		}
		assert.Equal(t, 130, cmd.ProcessState.ExitCode())
		assert.Empty(t, list(t, dir))
		return
	}
	require.Fail(t, "it was never interrupted while it wrote")
}

// A disk that fills up in the middle, for which a limit of the file's size stands in, is an error that names the file; nothing is
// left, and a file that was there stays.
func TestConvertFullDisk(t *testing.T) {
	require.Equal(t, 0, run(t, "models", "inspect", "nano").code, "unpacked before the limit holds")
	dir := t.TempDir()
	out := filepath.Join(dir, "x.gguf")
	require.NoError(t, os.WriteFile(out, []byte("before"), 0o600))
	cmd := prepare(t)
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `ulimit -f 10000; exec "$0" "$@"`, program, "models", "convert", "nano", out,
		"--type", "q8_0", "--overwrite", "--quiet"}
	r := finish(t, cmd)
	assert.Equal(t, 1, r.code)
	assert.Regexp(t, `^daguerre: writing .*x\.gguf: write .*: file too large\n$`, r.stderr)
	assert.Equal(t, []string{"x.gguf"}, list(t, dir))
	data, err := os.ReadFile(out)
	require.NoError(t, err)
	assert.Equal(t, "before", string(data))
}

// Memory does not grow with the model: a file of 167 MB passes through a fraction of that.
func TestConvertMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // there is no /proc
	}
	dir := t.TempDir()
	in := filepath.Join(dir, "vae.safetensors")
	require.Equal(t, 0, run(t, "models", "synth", "--kind", "vae", "-o", in, "--quiet").code)
	st, err := os.Stat(in)
	require.NoError(t, err)
	cmd := prepare(t, "models", "convert", in, filepath.Join(dir, "x.safetensors"), "--type", "bf16", "--quiet")
	require.NoError(t, cmd.Start())
	var peak int64
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for running := true; running; {
		select {
		case err := <-done:
			require.NoError(t, err)
			running = false
		case <-time.After(2 * time.Millisecond):
			peak = max(peak, highWater(cmd.Process.Pid))
		}
	}
	require.Positive(t, peak)
	assert.Less(t, peak, st.Size()*2/3)
}

// highWater is the largest resident set that a running process has had, 0 where it has ended. (ru_maxrss would begin at what the
// process that started it had.)
func highWater(pid int) int64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}
