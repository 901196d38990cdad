package output

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheckLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	var w Writer
	require.NoError(t, w.Check(filepath.Join(dir, "new", "deep", "a.png")))
	assert.Empty(t, names(t, dir))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "there"), 0o700))
	require.NoError(t, w.Check(filepath.Join(dir, "there", "more", "a.png")))
	assert.Equal(t, []string{"there"}, names(t, dir))
	put(t, filepath.Join(dir, "plain"), "")
	for _, path := range []string{filepath.Join(dir, "plain", "a.png"), filepath.Join(dir, "there"),
		filepath.Join(dir, strings.Repeat("x", 300)), filepath.Join(dir, strings.Repeat("folder/", 800), "a.png")} {
		require.Error(t, w.Check(path), "%.80s", path)
	}
	assert.Equal(t, []string{"plain", "there"}, names(t, dir))
}

// TestNumbersOfLongNames: a name that is as long as names may be, and taken, is cut for its number.
func TestNumbersOfLongNames(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("ü", 125)+"a.png")
	require.Len(t, filepath.Base(path), 255)
	require.NoError(t, new(Writer).Check(path))
	for range 3 {
		got, err := new(Writer).Write(path, []byte("x"))
		require.NoError(t, err)
		assert.LessOrEqual(t, len(filepath.Base(got)), 255)
		assert.True(t, strings.HasSuffix(got, ".png"))
	}
	assert.Len(t, names(t, dir), 3)
}

func TestNamesThatGoUp(t *testing.T) {
	dir := t.TempDir()
	for pattern, want := range map[string]string{"sub/../../x.png": "../x.png", "a/../x.png": "x.png", "../x.png": "../x.png",
		"./x.png": "./x.png", "a//x.png": "a//x.png", "{model}/../x.png": "x.png", "/a/../../x.png": "/x.png", "..x/y..png": "..x/y..png"} {
		p, err := ParsePattern(pattern)
		require.NoError(t, err)
		got, err := p.Name(sample)
		require.NoError(t, err)
		assert.Equal(t, want, filepath.ToSlash(got), pattern)
	}
	t.Chdir(put2(t, dir))
	p, err := ParsePattern("sub/../../x.png")
	require.NoError(t, err)
	name, err := p.Name(sample)
	require.NoError(t, err)
	require.NoError(t, new(Writer).Check(name))
	_, err = new(Writer).Write(name, []byte("data"))
	require.NoError(t, err, "what was checked can be written")
	assert.FileExists(t, filepath.Join(dir, "x.png"))
}

// put2 makes a folder in a folder.
func put2(t *testing.T, dir string) string {
	t.Helper()
	inner := filepath.Join(dir, "inner")
	require.NoError(t, os.Mkdir(inner, 0o700))
	return inner
}

func TestFolderOfAPattern(t *testing.T) {
	for pattern, want := range map[string]string{"x.png": ".", "out/x.png": "out", "out/{time}/x.png": "out", "out/a-{time}/b/x.png": "out",
		"{seed}/x.png": ".", "out/{model}/{index}.png": "out/sd_xl_base_1.0", "/a/{date}/x.png": "/a", "/{seed}.png": "/",
		"a/../b/{time}/x.png": "b", "out/{time}.png": "out"} {
		p, err := ParsePattern(pattern)
		require.NoError(t, err)
		assert.Equal(t, want, filepath.ToSlash(p.Folder(sample, "index", "seed", "date", "time")), pattern)
	}
}

func TestReservedNames(t *testing.T) {
	p, err := ParsePattern("{model}.png")
	require.NoError(t, err)
	for model, want := range map[string]string{"con": "con_.png", "NUL.v2": "NUL_.v2.png", "com1": "com1_.png", "com0": "com0.png",
		"console": "console.png", "lpt9": "lpt9_.png"} {
		got, err := p.Name(Values{Model: model, Seed: math.MaxInt64})
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}
