package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	benchmark "github.com/daguerre-go/daguerre/runtime/bench"
)

// quick are the flags of a small benchmark.
var quick = []string{"bench", "--types", "f32,q8_0", "--steps", "2", "--rounds", "2", "--size", "64"}

func TestBenchCommand(t *testing.T) {
	b := newBench(t)
	args := append(quick, "--json", b.path("r.json"), "--csv", b.path("r.csv"), "--markdown", b.path("r.md"), "--html", b.path("r.html"),
		"--min-psnr", "30", "--work-dir", b.path("work"))
	require.Equal(t, ExitOK, b.run(args...), b.stderr)
	assert.Contains(t, b.stderr, "converting nano to q8_0")
	assert.Contains(t, b.stdout, "Recommended: ")
	assert.Regexp(t, `(?m)^q8_0 +\d`, b.stdout)
	r, err := benchmark.ReadReport(b.path("r.json"))
	require.NoError(t, err)
	require.Len(t, r.Results, 2)
	assert.Equal(t, "nano f32 64x64 batch 1 auto EulerDiscrete", r.Results[0].Key)
	for _, x := range r.Results {
		assert.Equal(t, 4, x.Image.N, "two rounds of two pictures")
		assert.Equal(t, 8, x.Step.N)
		assert.Equal(t, 2, x.Load.N)
		assert.Equal(t, 2, x.Checked.Pictures)
		assert.Positive(t, x.FileBytes)
	}
	assert.Greater(t, r.Results[0].FileBytes, r.Results[1].FileBytes*3/2)
	assert.Equal(t, 2, r.Results[1].Quality.EqualPicture, "the fake knows no types")
	assert.Equal(t, []string{"avx2"}, r.Machine.Features)
	assert.Equal(t, "ggml 0.26.0 (llama-cpp-sys-2 0.1.161)", r.Build.Engine)
	assert.False(t, r.Settings.Processes)
	opened := b.backend.Opened()
	assert.True(t, strings.HasSuffix(opened[0].Files.Model, ".safetensors"))
	assert.EqualValues(t, "exact", opened[0].Precision)
	assert.True(t, strings.HasSuffix(opened[1].Files.Model, "nano-q8_0.gguf"))
	assert.EqualValues(t, "auto", opened[1].Precision)
	entries, err := os.ReadDir(b.path("work"))
	require.NoError(t, err)
	assert.Empty(t, entries, "converted files are removed")
	assert.Zero(t, b.backend.LiveModels())

	// the report against itself
	require.Equal(t, ExitOK, b.run("bench", "compare", b.path("r.json"), b.path("r.json")), b.stderr)
	assert.Contains(t, b.stdout, "0 became worse")
	data, err := os.ReadFile(b.path("r.html"))
	require.NoError(t, err)
	assert.Contains(t, string(data), "<svg")
}

// With --quantize load nothing is written but the reports; - is standard output.
func TestBenchLoads(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run(append(quick, "--quantize", "load", "--json", "-", "--batch", "1,2", "--quiet")...), b.stderr)
	assert.Empty(t, b.stderr)
	var r benchmark.Report
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &r), b.stdout)
	assert.Len(t, r.Results, 4)
	assert.EqualValues(t, "q8_0", b.backend.Opened()[1].UNetType)
	assert.EqualValues(t, "auto", b.backend.Opened()[1].VAEType, "the VAE keeps its type")
	assert.Empty(t, b.files())
}

func TestBenchSynthetic(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run("bench", "--synthetic", "nano", "--types", "file", "--steps", "1", "--rounds", "1", "--size", "64",
		"--json", b.path("r.json"), "--work-dir", b.path("w")), b.stderr)
	assert.Contains(t, b.stderr, "writing a model with random weights")
	assert.Contains(t, b.stderr, "removed at the end")
	r, err := benchmark.ReadReport(b.path("r.json"))
	require.NoError(t, err)
	assert.True(t, r.Models[0].Synthetic)
	assert.Equal(t, "f16", r.Results[0].Type)
	assert.Contains(t, strings.Join(r.Notes, "\n"), "random")
	entries, err := os.ReadDir(b.path("w"))
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// A case that fails costs its row; the report is written, and the exit code tells.
func TestBenchFailure(t *testing.T) {
	b := newBench(t)
	n := 0
	b.backend.Hook = func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpOpen {
			if n++; n == 2 {
				return errors.New("broken")
			}
		}
		return nil
	}
	require.Equal(t, ExitFailure, b.run(append(quick, "--json", b.path("r.json"))...))
	assert.Contains(t, b.stderr, "broken")
	r, err := benchmark.ReadReport(b.path("r.json"))
	require.NoError(t, err)
	assert.Equal(t, "broken", r.Results[1].Error)
	assert.Equal(t, 2, r.Results[0].Load.N)

	ctx, cancel := context.WithCancel(t.Context())
	b.ctx = ctx
	b.backend.Hook = func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpUNet {
			cancel()
		}
		return nil
	}
	require.NoError(t, os.Remove(b.path("r.json")))
	assert.Equal(t, ExitCancelled, b.run(append(quick, "--json", b.path("r.json"), "--work-dir", b.path("w"))...))
	assert.NoFileExists(t, b.path("r.json"))
	entries, err := os.ReadDir(b.path("w"))
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func TestBenchRefusals(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--types", "q9"}, ExitUsage, `"q9" is unknown`},
		{[]string{"--types", "q8-0"}, ExitUsage, "did you mean"},
		{[]string{"--types", ","}, ExitUsage, "--types is empty"},
		{[]string{"--size", "100"}, ExitUsage, "multiples of 8"},
		{[]string{"--size", "64x"}, ExitUsage, "no size"},
		{[]string{"--batch", "0"}, ExitUsage, "--batch"},
		{[]string{"--steps", "0"}, ExitUsage, "--steps is 0"},
		{[]string{"--rounds", "-1"}, ExitUsage, "--rounds is -1"},
		{[]string{"--scheduler", "Eulr"}, ExitUsage, "--scheduler"},
		{[]string{"--synthetic", "sdxl"}, ExitUsage, "sdxl-base"},
		{[]string{"--synthetic", "nano", "--model", "nano"}, ExitUsage, "exclude each other"},
		{[]string{"--quantize", "maybe"}, ExitUsage, "convert, load"},
		{[]string{"--precision", "f64"}, ExitUsage, "--precision"},
		{[]string{"--memory-limit", "much"}, ExitUsage, "--memory-limit"},
		{[]string{"--min-psnr", "-3"}, ExitUsage, "negative"},
		{[]string{"--json", "x", "--csv", "x"}, ExitUsage, "two reports"},
		{[]string{"--json", b.dir}, ExitUsage, "is a folder"},
		{[]string{"--model", b.path("absent")}, ExitFile, "absent"},
		{[]string{"conpare"}, ExitUsage, `did you mean "compare"?`},
		{[]string{"compare", "one"}, ExitUsage, "give the old report and the new one"},
		{[]string{"compare", b.path("absent"), b.path("absent")}, ExitFile, "absent"},
		{[]string{"compare", "--alpha", "2", "a", "b"}, ExitUsage, "--alpha"},
		{[]string{"compare", "--time-threshold", "x", "a", "b"}, ExitUsage, "no share"},
	} {
		assert.Equal(t, c.code, b.run(append([]string{"bench"}, c.args...)...), c.args)
		assert.Contains(t, b.stderr, c.says)
	}
	assert.Zero(t, b.backend.Count(fake.OpOpen))
	bad := b.write("bad.json", "{}")
	assert.Equal(t, ExitFile, b.run("bench", "compare", bad, bad))
	assert.Contains(t, b.stderr, "no report of daguerre bench")
}

func TestBenchCompareCommand(t *testing.T) {
	b := newBench(t)
	write := func(name string, k float64, steps int) string {
		s := benchmark.Samples{Step: []float64{k, 1.01 * k, 1.02 * k, 1.03 * k}}
		r := benchmark.Report{Schema: 1, Settings: benchmark.Settings{Steps: steps}, Results: []benchmark.Result{{Key: "m q8_0", Samples: s,
			PeakRSS: 1 << 30}}}
		var buf bytes.Buffer
		require.NoError(t, r.Write(&buf))
		return b.write(name, buf.String())
	}
	old, slow, other := write("old", 1, 4), write("slow", 1.5, 4), write("other", 1, 5)
	assert.Equal(t, ExitFailure, b.run("bench", "compare", old, slow))
	assert.Empty(t, b.stderr, "the table says it")
	assert.Regexp(t, `m q8_0 +step +1.015 s +1.522 s +\+50.0 % +0.029 +4\+4 +worse`, b.stdout)
	assert.NotContains(t, b.stdout, "peak rss")
	assert.Equal(t, ExitOK, b.run("bench", "compare", slow, old, "--all"))
	assert.Contains(t, b.stdout, "better")
	assert.Contains(t, b.stdout, "peak rss")
	assert.Equal(t, ExitOK, b.run("bench", "compare", old, slow, "--time-threshold", "60%"))
	assert.Equal(t, ExitUsage, b.run("bench", "compare", old, other))
	assert.Equal(t, ExitFailure, b.run("bench", "compare", old, slow, "--json"))
	var c benchmark.Comparison
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &c))
	assert.Equal(t, 1, c.Regressions())
}

// Why a session's process failed, in words and as an exit code.
func TestDescribeChild(t *testing.T) {
	for script, want := range map[string]struct {
		code int
		says string
	}{
		"echo 'daguerre: no such file' >&2; exit 3": {ExitFile, "no such file"},
		"exit 4":                            {ExitOutOfMemory, "exit status 4"},
		"kill -9 $$":                        {ExitOutOfMemory, "memory ran out"},
		"echo ggml: assert >&2; kill -6 $$": {ExitNative, "ggml: assert"},
	} {
		cmd := exec.Command("sh", "-c", script)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		err := describeChild(cmd.Run(), stderr.String())
		assert.Equal(t, want.code, exitCode(err), script)
		assert.ErrorContains(t, err, want.says)
	}
	assert.ErrorContains(t, describeChild(exec.Command(filepath.Join(t.TempDir(), "absent")).Run(), ""), "starting a session")
}

// A file of several types is known by what its UNet is mostly quantized to.
func TestBenchFileType(t *testing.T) {
	b := newBench(t)
	in, out := b.path("in.safetensors"), b.path("out.gguf")
	require.NoError(t, synth.Write(t.Context(), in, synth.Options{Kind: synth.KindNano}))
	require.Equal(t, ExitOK, b.run("models", "convert", in, out, "--type", "q8_0"), b.stderr)
	f := &benchFiles{opts: benchOptions{types: []string{"file", "q8_0"}}}
	m := benchModel{path: out}
	require.NoError(t, f.describe(&m))
	assert.Equal(t, "q8_0", m.FileType)
	assert.Equal(t, []string{"q8_0"}, m.types)
	assert.Equal(t, benchmark.Size{Width: 128, Height: 128}, m.size)
}
