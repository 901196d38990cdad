//go:build !race

package pipeline

import (
	"image"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// waysMeasured is how many pictures of each way are measured: make measure-nano takes 50.
func waysMeasured() int {
	if measureAll() {
		return 50
	}
	return 2
}

// described is a shape of the nano data set on a background, with a place where one is asked for.
type described struct{ colour, shape, place, background string }

func (d described) String() string {
	return article(d.colour) + " " + d.shape + d.place + " on " + article(d.background) + " background"
}

// pairs are n pairs of held-out shapes on one background, whose colour neither has. Each has its seed.
func pairs(t *testing.T, n int) (list [][2]described, seeds []int64) {
	t.Helper()
	held := checker.HeldOut()
	for i := 0; i+1 < len(held) && len(list) < n; i++ {
		a, errA := checker.Parse(held[i].Prompt)
		b, errB := checker.Parse(held[(i+61)%len(held)].Prompt)
		require.NoError(t, errA)
		require.NoError(t, errB)
		if a.Colour == b.Colour || a.Shape == b.Shape || b.Colour == a.Background {
			continue
		}
		list = append(list, [2]described{{a.Colour, a.Shape, "", a.Background}, {b.Colour, b.Shape, "", a.Background}})
		seeds = append(seeds, held[i].Seed)
	}
	return list, seeds
}

// tally counts pictures in which something is right.
type tally map[string]int

func (c tally) add(ok bool, what string) {
	if ok {
		c[what]++
	}
}

// half is the left or the right half of a picture.
func half(img *image.NRGBA, right bool) image.Image {
	b := img.Rect
	if middle := b.Min.X + b.Dx()/2; right {
		b.Min.X = middle
	} else {
		b.Max.X = middle
	}
	return img.SubImage(b)
}

// TestNanoRegionsPlace: of two prompts for the left and the right half each half shows its own, whichever way they are joined.
func TestNanoRegionsPlace(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	for _, mode := range []string{request.RegionLatent, request.RegionAttention} {
		t.Run(mode, func(t *testing.T) { regionsPlaced(t, p, mode) })
	}
}

func regionsPlaced(t *testing.T, p *Pipeline, mode string) {
	list, seeds := pairs(t, waysMeasured())
	count := tally{}
	for i, pair := range list {
		r := request.Request{Prompt: request.NoPrompt, Seed: seeds[i], Width: 256, Height: 128, NumInferenceSteps: 20,
			RegionMode: mode, Regions: []request.Region{{Prompt: pair[0].String(), Box: &[4]float64{0, 0, 0.5, 1}},
				{Prompt: pair[1].String(), Box: &[4]float64{0.5, 0, 1, 1}}}}
		img := generate(t, p, r).Images[0].NRGBA
		left, err := checker.Score(half(img, false), pair[0].String())
		require.NoError(t, err)
		right, err := checker.Score(half(img, true), pair[1].String())
		require.NoError(t, err)
		count.add(left.Colour && right.Colour, "colours")
		count.add(left.Shape && right.Shape, "shapes")
		count.add(left.Background && right.Background, "backgrounds")
	}
	n := len(list)
	t.Logf("of %d: right colour in each half %d, right shape in each half %d, background %d", n, count["colours"], count["shapes"],
		count["backgrounds"])
	assert.GreaterOrEqual(t, 10*count["colours"], 9*n)
}

// TestNanoEditing: an edit that comes early has the second prompt's shape, and one that comes at the end has the first's.
func TestNanoEditing(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	list, seeds := pairs(t, waysMeasured())
	count := tally{}
	for i, pair := range list {
		second := pair[0]
		second.shape = pair[1].shape
		for at, want := range map[string]described{"0.2": second, "0.95": pair[0]} {
			r := request.Request{Prompt: "a " + pair[0].colour + " [" + pair[0].shape + ":" + second.shape + ":" + at + "] on a " +
				second.background + " background", Seed: seeds[i], NumInferenceSteps: 20}
			got, err := checker.Score(generate(t, p, r).Images[0], want.String())
			require.NoError(t, err)
			count.add(got.Shape && got.Colour, at)
		}
	}
	n := len(list)
	t.Logf("of %d: the second's shape after a fifth of the steps %d, the first's where the edit comes at 0.95 %d", n, count["0.2"],
		count["0.95"])
	assert.GreaterOrEqual(t, 10*count["0.2"], 8*n)
	assert.GreaterOrEqual(t, 10*count["0.95"], 8*n)
}

// TestNanoInpainting: what a mask keeps is the source's, to the byte, and what it marks shows the prompt.
func TestNanoInpainting(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	list, seeds := pairs(t, waysMeasured())
	count := tally{}
	hole := image.Rect(12, 12, 116, 116)
	mask := image.NewGray(image.Rect(0, 0, 128, 128))
	for y := hole.Min.Y; y < hole.Max.Y; y++ {
		for x := hole.Min.X; x < hole.Max.X; x++ {
			mask.Pix[y*mask.Stride+x] = 255
		}
	}
	for i, pair := range list {
		r := request.Request{Prompt: pair[0].String(), Seed: seeds[i], NumInferenceSteps: 20}
		source := generate(t, p, r).Images[0].NRGBA
		r.Prompt, r.InitImage.Image, r.MaskImage.Image, r.Strength = pair[1].String(), source, mask, 1
		img := generate(t, p, r).Images[0].NRGBA
		same := true
		for y := range 128 {
			for x := range 128 {
				if !image.Pt(x, y).In(hole) {
					same = same && img.NRGBAAt(x, y) == source.NRGBAAt(x, y)
				}
			}
		}
		got, err := checker.Score(img, pair[1].String())
		require.NoError(t, err)
		count.add(same, "kept")
		count.add(got.Colour, "colours")
		count.add(got.Shape, "shapes")
	}
	n := len(list)
	t.Logf("of %d: outside identical %d, inside the right colour %d, the right shape %d", n, count["kept"], count["colours"], count["shapes"])
	assert.Equal(t, n, count["kept"])
	assert.GreaterOrEqual(t, 10*count["colours"], 9*n)
}

// TestNanoGuidance: every way to guide shows what the prompts say.
func TestNanoGuidance(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	list, seeds := pairs(t, waysMeasured()/2)
	for _, way := range []struct {
		name string
		set  func(r *request.Request)
	}{
		{"cfg", func(*request.Request) {}},
		{"none", func(r *request.Request) { r.GuidanceScale = request.NoGuidance }},
		{"apg", func(r *request.Request) { r.Guidance.Method, r.GuidanceScale = request.GuidanceAPG, 12 }},
		{"cfg_zero_star", func(r *request.Request) { r.Guidance.Method = request.GuidanceCFGZeroStar }},
		{"cfg_plus_plus", func(r *request.Request) { r.Guidance.Method = request.GuidanceCFGPlusPlus }},
		{"pag alone", func(r *request.Request) { r.GuidanceScale, r.PAG.Scale = request.NoGuidance, 3 }},
		{"seg alone", func(r *request.Request) { r.GuidanceScale, r.SEG.Scale = request.NoGuidance, 3 }},
		{"freeu", func(r *request.Request) { r.FreeU = usualFreeU() }},
	} {
		var sum checker.Summary
		for i, pair := range list {
			r := request.Request{Prompt: pair[0].String(), Seed: seeds[i], NumInferenceSteps: 20}
			way.set(&r)
			got, err := checker.Score(generate(t, p, r).Images[0], r.Prompt)
			require.NoError(t, err)
			sum.Add(got)
		}
		t.Logf("%-14s %s", way.name, sum)
		if way.name != "none" {
			assert.GreaterOrEqual(t, 10*sum.Colour, 8*sum.N, way.name)
		}
	}
}
