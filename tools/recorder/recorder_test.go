package main

import (
	"image"
	"image/color"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRecordingsAreCompared(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, pixels string) string {
		e := entries{}
		require.NoError(t, e.add(picture{Width: 64, Height: 64, Pixels: pixels}, "t2i", "cli", "", "picture-0"))
		require.NoError(t, e.add([]int{2, 1}, "t2i", "cli", "batches"))
		path := filepath.Join(dir, name)
		require.NoError(t, e.write(path))
		return path
	}
	a, same, other := write("a.json", "0"), write("same.json", "0"), write("other.json", "1")
	text, err := os.ReadFile(a)
	require.NoError(t, err)
	assert.Equal(t, "{\n\"t2i/cli/batches\": [2,1],\n"+
		"\"t2i/cli/picture-0\": {\"width\":64,\"height\":64,\"seed\":0,\"pixels\":\"0\"}\n}\n", string(text))
	require.NoError(t, compareFiles(a, same))
	require.ErrorContains(t, compareFiles(a, other), "1 of 2 entries differ")
	empty := filepath.Join(dir, "empty.json")
	require.NoError(t, os.WriteFile(empty, []byte("{}"), 0o600))
	require.ErrorContains(t, compareFiles(a, empty), "2 of 2 entries differ")
	require.ErrorContains(t, compareFiles(empty, empty), "empty")
}

func TestFacesAreCompared(t *testing.T) {
	made := func(pixels string) *outcome {
		o := newOutcome()
		o.pictures = []picture{{job: "job", Pixels: pixels}}
		o.manifests["job"] = []byte(`{"seed":` + pixels + `}`)
		return o
	}
	r := one("t2i")
	r.outcomes = map[string]*outcome{"cli": made("1"), "worker": made("1")}
	assert.Empty(t, r.differences())
	assert.Empty(t, r.manifestDifferences())
	r.outcomes["worker"] = made("2")
	assert.Len(t, r.differences(), 1)
	assert.Equal(t, []string{"t2i/job: seed: cli 1, worker 2"}, r.manifestDifferences())
	r.outcomes["worker"].pictures[0].indeterminate = true
	assert.Empty(t, r.differences())
	r.outcomes["worker"].pictures = nil
	assert.Len(t, r.differences(), 1, "a picture is missing")
}

func TestHashes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.npy")
	data := normals(512, 7)
	require.NoError(t, writeNPY(path, []int{2, 4, 8, 8}, data))
	parts, err := latentHashes(path)
	require.NoError(t, err)
	assert.Equal(t, []string{hashFloats(data[:256]), hashFloats(data[256:])}, parts)

	img := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	for x := range 2 {
		img.SetNRGBA(x, 0, color.NRGBA{byte(x), 2, 3, 255})
	}
	other := image.NewRGBA(image.Rect(3, 4, 5, 5))
	for x := range 2 {
		other.Set(3+x, 4, img.At(x, 0))
	}
	assert.Equal(t, hashPixels(img), hashPixels(other), "whatever their form")
	other.Set(3, 4, color.Black)
	assert.NotEqual(t, hashPixels(img), hashPixels(other))
}

func TestHalves(t *testing.T) {
	for x, want := range map[float32]uint16{0: 0, 1: 0x3c00, -2: 0xc000, 0.05: 0x2a66, 0x1p-24: 1, 0x1.ffcp15: 0x7bff, 0x1.ffffp0: 0x4000} {
		assert.Equal(t, want, halfOf(x), x)
	}
}
