package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

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

// TestGenerateContinuesWithTheSameFilesOnly changes a file between the two parts of a run.
func TestGenerateContinuesWithTheSameFilesOnly(t *testing.T) {
	picture := func(b *bench, name string, shade uint8) {
		img := image.NewGray(image.Rect(0, 0, 64, 64))
		for i := range img.Pix {
			img.Pix[i] = shade
		}
		var data bytes.Buffer
		require.NoError(t, png.Encode(&data, img))
		require.NoError(t, os.WriteFile(b.path(name), data.Bytes(), 0o600))
	}
	for name, c := range map[string]struct {
		change func(b *bench)
		told   string // what has changed; "": nothing
	}{
		"nothing":                 {func(*bench) {}, ""},
		"written anew, the same":  {func(b *bench) { picture(b, "init.png", 90) }, ""},
		"init_image":              {func(b *bench) { picture(b, "init.png", 91) }, "init.png"},
		"mask_image":              {func(b *bench) { picture(b, "mask.png", 254) }, "mask.png"},
		"an adapter from a tag":   {func(b *bench) { b.write("loras/ink.safetensors", otherAdapter(t)) }, "ink.safetensors"},
		"the library's version":   {func(b *bench) { b.native.lib.Version = "99" }, "the program"},
		"a file that nobody uses": {func(b *bench) { b.write("loras/y.safetensors", otherAdapter(t)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			picture(b, "init.png", 90)
			picture(b, "mask.png", 255)
			require.NoError(t, os.Mkdir(b.path("loras"), 0o700))
			b.write("loras/ink.safetensors", adapterOfFake(t))
			b.write("loras/y.safetensors", adapterOfFake(t))
			args := []string{"generate", "--model", "nano", "--prompt", "x <lora:ink:0.5>", "--lora-dir", b.path("loras"), "-n", "3",
				"--batch", "1", "--steps", "4", "--init-image", b.path("init.png"),
				"--mask-image", b.path("mask.png"), "-o", b.path("out/x.png"), "--seed", "7"}
			stopAfter(t, b, 2)
			require.Equal(t, ExitCancelled, b.run(args...), b.stderr)
			goOn(t, b)
			before := pictures(t, b.path("out"))
			require.Len(t, before, 2)
			c.change(b)
			require.Equal(t, ExitOK, b.run(args...), b.stderr)
			after := pictures(t, b.path("out"))
			for name, data := range before {
				assert.Equal(t, data, after[name], "what was there stays")
			}
			if c.told == "" {
				assert.Contains(t, b.stderr, "2 of 3 pictures are there")
				assert.Len(t, after, 3)
			} else {
				assert.Contains(t, b.stderr, "not continued")
				assert.Contains(t, b.stderr, c.told)
				assert.Contains(t, b.stderr, "its 2 files stay")
				assert.Len(t, after, 5)
			}
			hidden, err := filepath.Glob(filepath.Join(b.path("out"), ".*"))
			require.NoError(t, err)
			assert.Empty(t, hidden)
		})
	}
}

// otherAdapter is adapterOfFake's with another number in it.
func otherAdapter(t *testing.T) string {
	t.Helper()
	data := []byte(adapterOfFake(t))
	data[len(data)-1] ^= 1
	return string(data)
}

// TestGenerateContinuesInFoldersOfTheTime: the journal lies above the folders whose names change from run to run, and no folder is left
// empty.
func TestGenerateContinuesInFoldersOfTheTime(t *testing.T) {
	for name, pattern := range map[string]string{"time": "out/{time}/{index}.png", "seed": "out/{seed}/{index}.png",
		"deep": "out/{date}-{time}/deep/{index}.png"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
			b.now = func() time.Time { return now }
			args := []string{"generate", "--model", "nano", "-n", "4", "--batch", "1", "--steps", "2", "--width", "64", "--height", "64",
				"--prompt", "x", "-o", b.path(pattern), "--seed", "-1"}
			stopAfter(t, b, 1)
			require.Equal(t, ExitCancelled, b.run(args...), b.stderr)
			made := tree(t, b.dir)
			now = now.Add(time.Minute)
			stopAfter(t, b, 2)
			require.Equal(t, ExitCancelled, b.run(args...), b.stderr)
			now = now.Add(time.Minute)
			goOn(t, b)
			require.Equal(t, ExitOK, b.run(args...), b.stderr)
			assert.Contains(t, b.stderr, "3 of 4 pictures are there")
			files, folders := 0, map[string]int{}
			for name, data := range tree(t, b.dir) {
				assert.False(t, strings.HasPrefix(filepath.Base(name), "."), name)
				folders[filepath.Dir(name)]++
				if data != "" {
					files++
				}
			}
			assert.Equal(t, 4, files)
			for name := range tree(t, b.dir) {
				if st, err := os.Stat(name); err == nil && st.IsDir() {
					assert.Positive(t, folders[name], "%s is empty", name)
				}
			}
			for name, data := range made {
				if data != "" && !strings.HasPrefix(filepath.Base(name), ".") {
					assert.Equal(t, data, tree(t, b.dir)[name])
				}
			}
		})
	}
	for _, op := range []fake.Op{fake.OpOpen, fake.OpUNet} {
		b := newBench(t)
		b.backend.Hook = func(_ context.Context, c fake.Call) error {
			if c.Op == op {
				return errors.New("broken")
			}
			return nil
		}
		require.NotEqual(t, ExitOK, b.run(small("-n", "2", "-o", b.path("new/{time}/x.png"))...))
		assert.Empty(t, tree(t, b.dir), "a run that made nothing leaves nothing")
	}
}

// tree reads everything below a folder; folders have no contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		out[path] = ""
		if !d.IsDir() {
			data, err := os.ReadFile(path)
			out[path] = string(data)
			return err
		}
		return nil
	}))
	return out
}

// TestOutputsAreCheckedBeforeTheWork: what cannot be written is refused before a model is opened; what is accepted can be written.
func TestOutputsAreCheckedBeforeTheWork(t *testing.T) {
	b := newBench(t)
	require.NoError(t, os.Mkdir(b.path("in"), 0o700))
	b.write("plain", "")
	t.Chdir(b.path("in"))
	for pattern, part := range map[string]string{"../plain/x.png": "not a directory", strings.Repeat("x", 256) + ".png": "bytes long",
		strings.Repeat("x", 245) + "{seed}.png": "bytes long", strings.Repeat("folder/", 700) + "x.png": "is too long",
		"sub/../../plain/x.png": "not a directory", "a\x00b.png": "NUL"} {
		opened := b.backend.Count(fake.OpOpen)
		require.Equal(t, ExitUsage, b.run(small("-n", "2", "--seed", "-1", "-o", pattern)...), "%q: %s", pattern, b.stderr)
		assert.Contains(t, b.stderr, part, pattern)
		assert.Equal(t, opened, b.backend.Count(fake.OpOpen), "no model was opened")
	}
	require.Equal(t, ExitOK, b.run(small("-o", "sub/../../x.png")...), b.stderr)
	assert.FileExists(t, b.path("x.png"))
	config := b.write("run.toml", strings.ReplaceAll(twoJobs, "OUT", "no/such/../../../y"))
	require.Equal(t, ExitOK, b.run("generate", "-c", config), b.stderr)
	assert.FileExists(t, b.path("y/0-5.png"))
	assert.NoDirExists(t, b.path("in/no"))
}

// TestJournalThatIsALink: the run says so and touches nothing.
func TestJournalThatIsALink(t *testing.T) {
	b := newBench(t)
	args := small("-n", "3", "--batch", "1", "-o", b.path("x.png"))
	stopAfter(t, b, 2)
	require.Equal(t, ExitCancelled, b.run(args...))
	goOn(t, b)
	journals, err := filepath.Glob(b.path(".daguerre-run-*"))
	require.NoError(t, err)
	require.Len(t, journals, 1)
	require.NoError(t, os.Remove(journals[0]))
	victim := b.write("victim", "precious")
	require.NoError(t, os.Symlink(victim, journals[0]))
	require.Equal(t, ExitFailure, b.run(args...))
	assert.Contains(t, b.stderr, "symbolic link")
	data, err := os.ReadFile(victim)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(data))
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
