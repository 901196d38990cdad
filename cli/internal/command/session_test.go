package command

import (
	"image"
	"image/png"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestKinds plans memory once for jobs that differ in prompt, seed and name alone, and for the size of a picture without its pixels.
func TestKinds(t *testing.T) {
	path := t.TempDir() + "/in.png"
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, image.NewNRGBA(image.Rect(0, 0, 40, 24))))
	require.NoError(t, f.Close())
	jobs := []request.Request{{Prompt: "a", Seed: 1}, {Prompt: "longer", Seed: 2, Output: "x.png"}, {Prompt: "b", Width: 64}, {Prompt: "c <lora:x:1>"},
		{InitImage: request.Picture{Path: path}}, {Prompt: "d"}}
	list := kinds(jobs)
	require.Len(t, list, 4)
	assert.Equal(t, "longer", list[0].Prompt, "the longest prompt stands for the others")
	assert.Equal(t, 64, list[1].Width)
	assert.Equal(t, "c <lora:x:1>", list[2].Prompt)
	assert.Equal(t, image.Rect(0, 0, 40, 24), list[3].InitImage.Image)
	assert.Nil(t, jobs[4].InitImage.Image, "the jobs stay as they are")

	assert.False(t, repeats(jobs))
	assert.True(t, repeats(append(jobs, request.Request{Prompt: "a", Seed: 9})))
}
