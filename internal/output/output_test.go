package output

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var sample = Values{Job: 7, Index: 2, Seed: 42, Width: 1024, Height: 768, Steps: 30,
	Scheduler: "EulerDiscrete", Model: "sd_xl_base_1.0", Prompt: "A lighthouse, in fog (1.2)",
	Time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}

func TestPatternName(t *testing.T) {
	for pattern, want := range map[string]string{
		"out.png":                      "out.png",
		"{job}-{seed}-{index}.png":     "7-42-2.png",
		"d/{index:4}_{seed:6}.webp":    "d/0002_000042.webp",
		"{width}x{height}-{steps}.jpg": "1024x768-30.jpg",
		"{scheduler}/{model}.png":      "EulerDiscrete/sd_xl_base_1.0.png",
		"{prompt}.png":                 "A-lighthouse-in-fog-1-2.png",
		"{date}T{time}.png":            "2026-03-04T050607.png",
		"{{{job}}}.png":                "{7}.png",
		"ü{seed}.png":                  "ü42.png",
	} {
		p, err := ParsePattern(pattern)
		require.NoError(t, err, pattern)
		got, err := p.Name(sample)
		require.NoError(t, err, pattern)
		assert.Equal(t, want, got, pattern)
	}
}

func TestPatternRefuses(t *testing.T) {
	for pattern, part := range map[string]string{
		"":              "give a file name",
		"  ":            "give a file name",
		"a\x00.png":     "give a file name",
		"{sead}.png":    `did you mean "seed"?`,
		"{}.png":        "unknown placeholder",
		"{job.png":      "not closed",
		"job}.png":      "} without {",
		"{index:x}.png": "digits",
		"{index:0}.png": "digits",
		"{seed:99}.png": "digits",
		"{model:3}.png": "only numbers",
	} {
		_, err := ParsePattern(pattern)
		require.ErrorIs(t, err, ErrPattern, pattern)
		assert.Contains(t, err.Error(), part, pattern)
	}
	p, err := ParsePattern("{model}.png")
	require.NoError(t, err)
	_, err = p.Name(Values{Model: strings.Repeat("x", 300)})
	require.ErrorIs(t, err, ErrPattern)
}

func TestPatternValuesCannotLeaveTheFolder(t *testing.T) {
	p, err := ParsePattern("out/{model}.png")
	require.NoError(t, err)
	for model, want := range map[string]string{
		"../../etc/x": "out/.._.._etc_x.png", "..": "out/__.png", "": "out/_.png", `a\b:c`: "out/a_b_c.png",
		"a\nb": "out/a_b.png", "a\xffb": "out/a_b.png",
	} {
		got, err := p.Name(Values{Model: model})
		require.NoError(t, err)
		assert.Equal(t, want, got, "%q", model)
		assert.Equal(t, "out", filepath.Dir(got))
	}
	p, err = ParsePattern("{prompt}")
	require.NoError(t, err)
	got, err := p.Name(Values{Prompt: strings.Repeat("🎨 ", 5)})
	require.NoError(t, err)
	assert.Equal(t, "empty", got)
	got, err = p.Name(Values{Prompt: strings.Repeat("word ", 50)})
	require.NoError(t, err)
	assert.LessOrEqual(t, len(got), maxPromptRunes+1)
}

func TestPatternDistinct(t *testing.T) {
	for _, c := range []struct {
		pattern string
		count   int
		want    string
	}{
		{"a.b.png", 1, "a.b.png"}, {"a.b.png", 4, "a.b-2.png"}, {"{seed}.png", 4, "42.png"}, {"{index}.png", 4, "2.png"},
		{"{job}.png", 2, "7-2.png"}, {"x{job}", 2, "x7-2"},
	} {
		p, err := ParsePattern(c.pattern)
		require.NoError(t, err)
		got, err := p.Distinct(c.count).Name(sample)
		require.NoError(t, err)
		assert.Equal(t, c.want, got, c.pattern)
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("out/{job}-{seed}-{index:3}.png", "job")
	f.Add("{{}}{prompt}", "..")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := ParsePattern(pattern)
		if err != nil {
			return
		}
		v := sample
		v.Model, v.Prompt = text, text
		_, _ = p.Distinct(3).Name(v)
	})
}

// names lists a folder, so that a test sees a temporary file left behind.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestWriteNumbersTakenNames(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.png")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	var w Writer
	got, err := w.Write(path, []byte("one"))
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "a-2.png"), got)
	got, err = w.Write(path, []byte("two"))
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "a-3.png"), got)
	assert.Equal(t, []string{"a-2.png", "a-3.png", "a.png"}, names(t, dir))
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "old", string(old))
	info, err := os.Stat(got)
	require.NoError(t, err)
	assert.NotZero(t, info.Mode().Perm()&0o044, "an ordinary file's mode, less the umask")
}

func TestWriteOverwrites(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.png")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	w := Writer{Overwrite: true}
	got, err := w.Write(path, []byte("one"))
	require.NoError(t, err)
	assert.Equal(t, path, got)
	got, err = w.Write(dir+"/./a.png", []byte("two"))
	require.NoError(t, err)
	assert.Equal(t, "a-2.png", filepath.Base(got), "a picture of this run is never replaced")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "one", string(data))
	assert.Equal(t, []string{"a-2.png", "a.png"}, names(t, dir))
}

func TestWriteLeavesNothingOnError(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "taken")
	require.NoError(t, os.MkdirAll(filepath.Join(target, "child"), 0o755))
	w := Writer{Overwrite: true}
	_, err := w.Write(target, []byte("x")) // a non-empty folder cannot be replaced
	require.Error(t, err)
	assert.Equal(t, []string{"taken"}, names(t, dir))
	_, err = w.Write(filepath.Join(dir, "file", "x.png"), []byte("x"))
	require.NoError(t, err, "folders are made")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600))
	_, err = w.Write(filepath.Join(dir, "plain", "x.png"), []byte("x"))
	require.Error(t, err)
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	var w Writer
	path, err := w.Write(filepath.Join(dir, "a.png"), []byte("one"))
	require.NoError(t, err)
	require.NoError(t, w.Replace(path, []byte("two")))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "two", string(data))
	assert.Equal(t, []string{"a.png"}, names(t, dir))
}

func TestWriteConcurrently(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.png")
	writers := []*Writer{{}, {}} // two processes' worth
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, err := writers[i%2].Write(path, fmt.Appendf(nil, "%02d", i))
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, name := range names(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		seen[string(data)] = true
	}
	assert.Len(t, seen, 20, "every file was kept")
}

func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	var w Writer
	require.NoError(t, w.Prepare(filepath.Join(dir, "new", "deep", "a.png")))
	assert.Empty(t, names(t, filepath.Join(dir, "new", "deep")))
	err := w.Prepare(filepath.Join(dir, "new"))
	require.ErrorContains(t, err, "is a folder")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600))
	require.ErrorContains(t, w.Prepare(filepath.Join(dir, "plain", "a.png")), "choose another with -o")
}
