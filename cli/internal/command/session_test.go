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

// TestKinds plans memory for one batch of jobs that differ in prompt, seed and name alone, and for the size of a picture without its
// pixels.
func TestKinds(t *testing.T) {
	path := t.TempDir() + "/in.png"
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, image.NewNRGBA(image.Rect(0, 0, 40, 24))))
	require.NoError(t, f.Close())
	jobs := []request.Request{{Prompt: "a", Seed: 1}, {Prompt: "longer", Seed: 2, Output: "x.png"}, {Prompt: "b", Width: 64},
		{Prompt: "c <lora:x:1>"},
		{InitImage: request.Picture{Path: path}}, {Prompt: "d"}}
	many := jobs
	for range 2 * perKind {
		many = append(many, request.Request{Prompt: "b"})
	}
	list := kinds(append(many, request.Request{Prompt: "the longest"}, request.Request{Prompt: "short"}))
	require.Len(t, list, perKind+3, "one kind of many, and three of one")
	assert.Equal(t, "the longest", list[1].Prompt, "it stands for what it takes the place of")
	assert.Equal(t, 64, list[2].Width)
	assert.Equal(t, "c <lora:x:1>", list[3].Prompt)
	assert.Equal(t, image.Rect(0, 0, 40, 24), list[4].InitImage.Image)
	assert.Nil(t, jobs[4].InitImage.Image, "the jobs stay as they are")

	assert.False(t, repeats(jobs))
	assert.True(t, repeats(append(jobs, request.Request{Prompt: "a", Seed: 9})))
}
