package command

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// stopAfter cancels the bench's run when n pictures have been decoded.
func stopAfter(t *testing.T, b *bench, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b.ctx = ctx
	before := b.backend.Count(fake.OpDecodeLatents)
	b.backend.Hook = func(ctx context.Context, c fake.Call) error {
		if c.Op == fake.OpDecodeLatents && c.Nth-before == n {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
}

// goOn ends what stopAfter planted.
func goOn(t *testing.T, b *bench) { b.ctx, b.backend.Hook = t.Context(), nil }

// pictures reads every file of a folder, by name.
func pictures(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, n := range names {
		if strings.HasPrefix(filepath.Base(n), ".") {
			continue
		}
		data, err := os.ReadFile(n)
		require.NoError(t, err)
		out[filepath.Base(n)] = string(data)
	}
	return out
}

func TestGenerateContinues(t *testing.T) {
	b := newBench(t)
	config := b.write("run.toml", strings.ReplaceAll(strings.ReplaceAll(twoJobs, "OUT", b.path("out")), "seed = 5", ""))
	stopAfter(t, b, 1)
	require.Equal(t, ExitCancelled, b.run("generate", "-c", config))
	made := pictures(t, b.path("out"))
	require.Equal(t, 1, len(made))
	stopAfter(t, b, 1)
	require.Equal(t, ExitCancelled, b.run("generate", "-c", config))
	goOn(t, b)
	require.Equal(t, ExitOK, b.run("generate", "-c", config), b.stderr)
	assert.Contains(t, b.stderr, "continuing an earlier run: 2 of 3 pictures are there")
	assert.Equal(t, 3+2, b.backend.Count(fake.OpDecodeLatents), "three pictures, and the two decodings that were stopped")
	all := pictures(t, b.path("out"))
	require.Equal(t, 3, len(all))
	for name, data := range made {
		assert.Equal(t, data, all[name], "what was there stays as it was")
	}
	hidden, err := filepath.Glob(filepath.Join(b.path("out"), ".*"))
	require.NoError(t, err)
	assert.Empty(t, hidden, "no journal is left")

	require.Equal(t, ExitOK, b.run("generate", "-c", config), b.stderr)
	assert.Equal(t, 6, len(pictures(t, b.path("out"))), "a run that was done begins anew")
}

func TestGenerateContinuesTheSameRunOnly(t *testing.T) {
	b := newBench(t)
	args := small("-n", "3", "--seed", "-1", "--batch", "1", "-o", b.path("x.png"), "--save-latents", b.path("l.npy"))
	stopAfter(t, b, 2)
	require.Equal(t, ExitCancelled, b.run(args...))
	before := pictures(t, b.dir)
	require.Equal(t, 2, len(before))
	goOn(t, b)
	other := append(append([]string{}, args...), "--guidance-scale", "3")
	require.Equal(t, ExitOK, b.run(other...), b.stderr)
	assert.NotContains(t, b.stderr, "continuing")
	assert.Equal(t, 6, len(pictures(t, b.dir)), "its own three and the latents")

	require.NoError(t, os.WriteFile(b.path("x-1.png"), []byte("damaged"), 0o600))
	require.Equal(t, ExitOK, b.run(args...), b.stderr)
	assert.Contains(t, b.stderr, "1 of 3 pictures are there", "a file that was changed does not count")
	after := pictures(t, b.dir)
	assert.Equal(t, before["x-0.png"], after["x-0.png"])
	assert.Equal(t, "damaged", after["x-1.png"], "nor is it replaced")
	assert.Contains(t, b.stdout, "latents [3 4 8 8]", "those of the first run among them")
	hidden, err := filepath.Glob(filepath.Join(b.dir, ".*"))
	require.NoError(t, err)
	assert.Empty(t, hidden)
}

func TestGenerateFresh(t *testing.T) {
	b := newBench(t)
	args := small("-n", "3", "--batch", "1", "-o", b.path("x.png"))
	stopAfter(t, b, 2)
	require.Equal(t, ExitCancelled, b.run(args...))
	goOn(t, b)
	require.Equal(t, ExitOK, b.run(append(args, "--fresh")...), b.stderr)
	assert.Equal(t, 5, len(pictures(t, b.dir)))
	hidden, err := filepath.Glob(filepath.Join(b.dir, ".*"))
	require.NoError(t, err)
	assert.Empty(t, hidden)
}

func TestGenerateEvents(t *testing.T) {
	b := newBench(t)
	config := b.write("run.toml", strings.ReplaceAll(twoJobs, "OUT", b.path("out")))
	require.Equal(t, ExitOK, b.run("generate", "-c", config, "--json"), b.stderr)
	var overall, batch, done map[string]any
	for _, e := range b.events() {
		switch e["event"] {
		case "overall":
			overall = e
		case "batch":
			batch = e
		case "done":
			done = e
		}
	}
	require.NotNil(t, overall)
	require.NotNil(t, batch)
	assert.EqualValues(t, 3, batch["size"], "both jobs in one batch")
	assert.NotEmpty(t, batch["why"])
	assert.EqualValues(t, 3, overall["finished"])
	assert.EqualValues(t, 9, overall["done"])
	assert.EqualValues(t, 9, overall["total"])
	assert.Len(t, done["batches"], 1)
}

// TestGenerateMetrics looks at the metrics in the middle of a run.
func TestGenerateMetrics(t *testing.T) {
	b := newBench(t)
	text := ""
	address := freeAddress(t)
	b.backend.Hook = func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpUNet && c.Nth == 4 {
			resp, err := http.Get("http://" + address + "/metrics")
			if err != nil {
				return err
			}
			data, err := io.ReadAll(resp.Body)
			text = string(data)
			_ = resp.Body.Close()
			return err
		}
		return nil
	}
	require.Equal(t, ExitOK, b.run(small("-n", "4", "--batch", "2", "-o", b.path("x.png"), "--metrics-addr", address)...), b.stderr)
	line := regexp.MustCompile(`^daguerre_[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? [-+0-9.e]+$`)
	seen := map[string]bool{}
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if strings.HasPrefix(l, "# ") {
			continue
		}
		assert.Regexp(t, line, l)
		name, _, _ := strings.Cut(l, " ")
		assert.False(t, seen[name], "%s twice", name)
		seen[name] = true
	}
	for _, want := range []string{`daguerre_images_total{outcome="finished"} 2`, "daguerre_images_running 2", "daguerre_batches_total 1",
		"daguerre_steps_total 8",
		`daguerre_batch_size{device="cpu"} 2`, `daguerre_native_bytes{model="0",component="unet"}`, "daguerre_process_resident_bytes ",
		"daguerre_eta_seconds ",
		`daguerre_text_cache_requests_total{result="hit"}`, `daguerre_stage_resident_peak_bytes{stage="denoise"}`, `state="available"`,
		`why="max_batch is 2"`} {
		assert.True(t, strings.Contains(text, want), want)
	}
	_, err := http.Get("http://" + address + "/metrics")
	require.Error(t, err, "the server ends with the run")
	assert.Equal(t, ExitUsage, b.run(small("-o", b.path("y.png"), "--metrics-addr", "nowhere:-1")...))
	assert.Contains(t, b.stderr, "--metrics-addr")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return fmt.Sprint(l.Addr())
}
