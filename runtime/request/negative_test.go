package request

import (
	"image"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEmptyNegativePrompt: a written empty text is encoded, as in diffusers; none at all is what the model says. In A1111's form an empty
// text is none.
func TestEmptyNegativePrompt(t *testing.T) {
	no, yes := new(false), new(true)
	for text, want := range map[string][]*bool{ // force_zeros_for_empty_prompt of each job
		`{"prompt":"x"}`:                                                             {nil},
		`{"prompt":"x","negative_prompt":null}`:                                      {nil},
		`{"prompt":"x","negative_prompt":""}`:                                        {no},
		`{"prompt":"x","negativePrompt":""}`:                                         {no},
		`{"prompt":"x","negative_prompt":"y"}`:                                       {nil},
		`{"prompt":"x","negative_prompt_2":""}`:                                      {nil}, // diffusers asks for the first alone
		`{"negative_prompt":"","model":"nano"}`:                                      {no},
		`{"negative_prompt":"","num_images":2}`:                                      {no},
		`{"image":"a.png","negative_prompt":""}`:                                     {no}, // diffusers' name
		`{"negative_prompt":"","force_zeros_for_empty_prompt":true}`:                 {yes},
		`{"negative_prompt":"","job":[{"prompt":"x"},{"negative_prompt":"y"}]}`:      {no, no},
		`{"negative_prompt":"y","job":[{"prompt":"x"},{"negative_prompt":""}]}`:      {nil, no},
		`{"prompt":"x","negative_prompt":"","steps":20}`:                             {nil},
		`{"prompt":"x","negative_prompt":"","sampler_name":"Euler a","cfg_scale":7}`: {nil},
		`{"steps":20,"job":[{"prompt":"x","negative_prompt":""},{"prompt":"z"}]}`:    {nil, nil},
		`{"job":[{"negative_prompt":"","cfgScale":7},{"negative_prompt":""}]}`:       {nil, no},
	} {
		run, err := DecodeJSON([]byte(text))
		require.NoError(t, err, text)
		var got []*bool
		for _, job := range run.Jobs {
			got = append(got, job.ForceZerosForEmptyPrompt)
		}
		assert.Equal(t, want, got, text)

		data, err := run.EncodeTOML()
		require.NoError(t, err)
		again, err := DecodeTOML(data)
		require.NoError(t, err)
		assert.Equal(t, run.Jobs, again.Jobs, "%s, written as %s", text, data)
	}
	run, err := DecodeTOML([]byte("negative_prompt = \"\"\n"))
	require.NoError(t, err)
	assert.Equal(t, no, run.Jobs[0].ForceZerosForEmptyPrompt)

	var r Request
	r.SetNegativePrompt("y")
	assert.Equal(t, Request{NegativePrompt: "y"}, r)
	r.SetNegativePrompt("")
	assert.Equal(t, Request{ForceZerosForEmptyPrompt: no}, r)
}

// TestNegativeSizes against what diffusers' pipelines hand to _get_add_time_ids: from noise, from a picture, and with a refiner.
func TestNegativeSizes(t *testing.T) {
	size, other := Size{Height: 768, Width: 512}, Size{Height: 100, Width: 200}
	crop, given := Point{Top: 8, Left: 16}, Point{Top: 1, Left: 2}
	base := Request{OriginalSize: size, TargetSize: size, CropsCoordsTopLeft: crop}
	sized, cropped := base, base
	sized.NegativeOriginalSize = other
	cropped.NegativeCropsCoordsTopLeft = given
	for name, c := range map[string]struct {
		Request
		original             Size
		noise, from, refiner Point
	}{
		"nothing": {base, size, crop, crop, Point{}},
		"a size":  {sized, other, Point{}, crop, Point{}},
		"a crop":  {cropped, size, given, given, given},
	} {
		for _, picture := range []bool{false, true} {
			want := c.noise
			if picture {
				c.InitImage.Image, want = image.NewGray(image.Rect(0, 0, 8, 8)), c.from
			}
			original, got, target := c.NegativeSizes(false)
			assert.Equal(t, []any{c.original, want, size}, []any{original, got, target}, "%s, picture %v", name, picture)
			original, got, target = c.NegativeSizes(true)
			assert.Equal(t, []any{c.original, c.refiner, size}, []any{original, got, target}, "%s, picture %v, refiner", name, picture)
		}
	}
}
