//go:build !race

package pipeline

import (
	"encoding/json"
	"image"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// detailed is a short request whose picture is painted again in two parts.
func detailed(t *testing.T) request.Request {
	r := shortRed(t, 4)
	r.Details = []request.Detail{
		{Box: &[4]float64{0.25, 0.25, 0.75, 0.75}, Prompt: "a green square on a blue background", Strength: 0.8, Blur: new(2.0),
			Padding: new(8)},
		{Mask: request.Picture{Path: filepath.Join(goldens, "input_mask.png")}, Steps: 6, Width: 96, Height: 160},
	}
	return r
}

// TestDetails: the passes over parts of a picture are what img2img makes of it with only_masked, one after the other, bit for bit; and a
// picture does not depend on its batch.
func TestDetails(t *testing.T) {
	t.Parallel()
	p := openNano(t, backend.PrecisionExact)
	r := detailed(t)
	r.NumImages, r.MaxBatch = 3, 1
	var last Progress
	out := generate(t, p, r, WithProgress(func(at Progress) {
		assert.GreaterOrEqual(t, at.Done, last.Done)
		last = at
	}))
	assert.Equal(t, last.Total, last.Done)
	assert.Equal(t, 3*(4+3+2), last.Total, "0.8 of 4 steps, and 0.4 of 6")

	plain := r
	plain.Details = nil
	before := generate(t, p, plain)
	for i, img := range before.Images {
		now := img.NRGBA
		for k, d := range r.Details {
			again := plain
			again.InitImage, again.MaskImage, again.NumImages = request.Picture{Image: now}, d.Mask, 1
			again.Seed, again.Strength, again.Inpaint = img.Seed+int64(k), d.Strength, request.Inpaint{OnlyMasked: true, Blur: 2, Padding: d.Padding}
			if k == 0 {
				mask := image.NewGray(now.Rect)
				for y := 32; y < 96; y++ {
					for x := 32; x < 96; x++ {
						mask.Pix[y*mask.Stride+x] = 255
					}
				}
				again.MaskImage.Image, again.Prompt = mask, d.Prompt
			} else {
				again.Strength, again.Inpaint.Blur, again.NumInferenceSteps, again.Width, again.Height = 0.4, 4, 6, 96, 160
			}
			now = generate(t, p, again).Images[0].NRGBA
		}
		assert.Equal(t, now.Pix, out.Images[i].NRGBA.Pix, "picture %d", i)
		assert.NotEqual(t, img.NRGBA.Pix, out.Images[i].NRGBA.Pix)
		assert.Equal(t, img.Latents, out.Images[i].Latents, "latents are those of the picture before")
	}
	assert.Equal(t, before.Timings.Evaluations+3*2*(3+2), out.Timings.Evaluations)

	r.MaxBatch = 3
	together := generate(t, p, r)
	for i, img := range together.Images {
		assert.Greater(t, psnr(t, img.NRGBA, out.Images[i].NRGBA), 60.0, "picture %d", i)
	}
	b := NewBatcher(BatcherOptions{}, p)
	defer b.Close()
	plan, err := b.Plan(r)
	require.NoError(t, err)
	job, err := b.Submit(t.Context(), plan, JobOptions{OnImage: func(img Image) error {
		assert.Greater(t, psnr(t, img.NRGBA, out.Images[img.Index].NRGBA), 60.0, "picture %d of a Batcher", img.Index)
		return nil
	}})
	require.NoError(t, err)
	require.NoError(t, job.Wait(t.Context()))
}

// TestDetailsOfWays: parts of pictures are painted again after a second pass, in repainted and in enlarged pictures, with adapters and with
// drawn texts; outside the parts nothing changes.
func TestDetailsOfWays(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	photo := request.Picture{Path: filepath.Join(goldens, "input_picture.png")}
	for name, edit := range map[string]func(r *request.Request){
		"hires":   func(r *request.Request) { r.Hires.Scale = 1.5 },
		"img2img": func(r *request.Request) { r.InitImage = photo },
		"inpaint": func(r *request.Request) {
			r.InitImage, r.MaskImage.Path = photo, filepath.Join(goldens, "input_mask.png")
			r.Inpaint.OnlyMasked, r.Width, r.Height = true, 64, 64
		},
		"outpaint": func(r *request.Request) { r.InitImage, r.Outpaint.Right = photo, 64; r.Width = 0 },
		"drawn": func(r *request.Request) {
			r.Prompt = "a {red|green|blue} circle on a white background"
			r.NumImages = 3
		},
		"regions": func(r *request.Request) {
			r.Regions = []request.Region{{Prompt: "a blue circle", Box: &[4]float64{0, 0, 0.5, 1}}}
		},
	} {
		r := shortRed(t, 5)
		edit(&r)
		before := generate(t, p, r)
		r.Details = []request.Detail{{Box: &[4]float64{0.5, 0.25, 0.75, 0.75}, Blur: new(0.0), Strength: 0.9, Prompt: "a star"}}
		out := generate(t, p, r)
		for i, img := range out.Images {
			was := before.Images[i].NRGBA
			require.Equal(t, was.Rect, img.NRGBA.Rect, name)
			w, h := was.Rect.Dx(), was.Rect.Dy()
			box, changed := image.Rect(w/2, h/4, w*3/4, h*3/4), 0
			for y := range h {
				for x := range w {
					if was.NRGBAAt(x, y) == img.NRGBA.NRGBAAt(x, y) {
						continue
					}
					changed++
					require.True(t, image.Pt(x, y).In(box), "%s: %d, %d of %d x %d changed", name, x, y, w, h)
				}
			}
			assert.Positive(t, changed, name)
		}
		data, err := json.Marshal(out.Manifest(out.Images[0]))
		require.NoError(t, err)
		assert.Contains(t, string(data), `"detail":[{"box":[0.5,0.25,0.75,0.75],"prompt":"a star","strength":0.9,"blur":0,"padding":32`, name)
	}
}

// TestDetailErrors: what a part cannot be is an error that names its key, before anything is computed.
func TestDetailErrors(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	box := &[4]float64{0.25, 0.25, 0.5, 0.5}
	for want, d := range map[string]request.Detail{
		"detail[0].box: is missing":                               {},
		"detail[0].box: is [0 0 200 100], and the picture is 128": {Box: &[4]float64{0, 0, 200, 100}},
		"detail[0].box: is [0.5 0 0.5 1]: it holds nothing":       {Box: &[4]float64{0.5, 0, 0.5, 1}},
		"detail[0].mask: ":                                        {Mask: request.Picture{Path: "none.png"}},
		"detail[0].width: is":                                     {Box: box, Width: 100},
		"detail[0].strength":                                      {Box: box, Strength: 0.1}, // of 3 steps
		"detail[0].prompt: ha":                                    {Box: box, Prompt: "a {cat|dog}"},
		"the LoRA \"x\"":                                          {Box: box, Prompt: "a cat <lora:x:1>"},
	} {
		r := shortRed(t, 3)
		r.Details = []request.Detail{d}
		_, err := p.Generate(t.Context(), r)
		assert.ErrorContains(t, err, want)
	}
}

// TestDetailWarnings: what a mask of a detail does not say is told once, by the detail's own keys.
func TestDetailWarnings(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	r := shortRed(t, 3)
	r.Details = []request.Detail{{Mask: request.Picture{Image: image.NewGray(image.Rect(0, 0, 128, 128))}, Strength: 0.9}}
	out := generate(t, p, r)
	require.Len(t, out.Warnings, 1)
	assert.Contains(t, out.Warnings[0], "detail[0]: mask marks nothing, so the picture stays as it is")
}
