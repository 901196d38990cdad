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
	return 4
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

// TestNanoRegionsPlace: of two prompts for the left and the right half each half shows its own.
func TestNanoRegionsPlace(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	list, seeds := pairs(t, waysMeasured())
	count := tally{}
	for i, pair := range list {
		r := request.Request{Prompt: request.NoPrompt, Seed: seeds[i], Width: 256, Height: 128, NumInferenceSteps: 20,
			Regions: []request.Region{{Prompt: pair[0].String(), Box: &[4]float64{0, 0, 0.5, 1}},
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
