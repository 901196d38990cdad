//go:build !race

package pipeline

import (
	"image"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// The trained IP-Adapter beside the nano base, and its image encoder.
var (
	nanoIPAdapter    = filepath.Join("..", "..", "models", "nano", "nano-ip-adapter.safetensors")
	nanoImageEncoder = filepath.Join("..", "..", "models", "nano", "nano-image-encoder.safetensors")
)

// shownPicture is a picture to show, and a text that names neither its colour nor its shape. The text's background is another one.
type shownPicture struct {
	scene        checker.Scene
	prompt, want string
	seed         int64
}

// shownPictures are n drawings of held-out combinations of all sizes and places of the data set. Every other text names a place.
func shownPictures(n int) (out []shownPicture) {
	rng := rand.New(rand.NewPCG(23, 4711))
	places := []string{" on the left", " on the right", " at the top", " at the bottom", " in the center"}
	held := checker.HeldOut()
	for i := 0; len(out) < n; i++ {
		e, errE := checker.Parse(held[i].Prompt)
		other, errOther := checker.Parse(held[rng.IntN(len(held))].Prompt)
		if errE != nil || errOther != nil || other.Background == e.Background || other.Background == e.Colour {
			continue
		}
		kind := []struct{ radius, off float64 }{{23, 30}, {32, 21}, {44, 0}}[rng.IntN(3)]
		to := []image.Point{{}, {X: -1}, {X: 1}, {Y: -1}, {Y: 1}}[rng.IntN(5)]
		where := func(side int) float64 { return 64 + float64(side)*kind.off + 4*rng.Float64() - 2 }
		s := shownPicture{seed: held[i].Seed, scene: checker.Scene{Colour: e.Colour, Shape: e.Shape, Background: e.Background,
			CenterX: where(to.X), CenterY: where(to.Y), Radius: kind.radius}}
		place := ""
		if len(out)%2 == 1 {
			place = places[rng.IntN(len(places))]
		}
		s.prompt = "a shape" + place + " on " + article(other.Background) + " background"
		s.want = described{e.Colour, e.Shape, place, other.Background}.String()
		out = append(out, s)
	}
	return out
}

// measuredIn is the precision of measured pictures. The few are made exactly, so that they are the same on every CPU.
func measuredIn() backend.Precision {
	if measureAll() {
		return backend.PrecisionAuto
	}
	return backend.PrecisionExact
}

// TestNanoIPAdapterShows: colour and shape come from the picture that is shown, background and place from the text. Without the adapter
// they are others.
func TestNanoIPAdapterShows(t *testing.T) {
	p := openNano(t, measuredIn())
	var with, without checker.Summary
	for i, s := range shownPictures(waysMeasured()) {
		drawn, err := s.scene.Draw()
		require.NoError(t, err)
		r := request.Request{Prompt: s.prompt, Seed: s.seed, NumInferenceSteps: 20, IPAdapters: []request.IPAdapter{{Model: nanoIPAdapter,
			ImageEncoder: nanoImageEncoder, Images: []request.Picture{{Image: drawn}}}}}
		got, err := checker.Score(generate(t, p, r).Images[0], s.want)
		require.NoError(t, err)
		with.Add(got)
		if !got.Colour || !got.Shape {
			t.Logf("%d: %s: %s, found a %s %s on %s", i, s.prompt, s.want, got.Found.Colour, got.Found.Shape, got.Found.Background)
		}
		r.IPAdapters = nil
		got, err = checker.Score(generate(t, p, r).Images[0], s.want)
		require.NoError(t, err)
		without.Add(got)
	}
	t.Logf("shown:   %s", with)
	t.Logf("without: %s", without)
	assert.GreaterOrEqual(t, 10*with.Colour, 9*with.N)
	assert.GreaterOrEqual(t, 10*with.Background, 9*with.N)
	if measureAll() { // of two pictures the shapes tell nothing
		assert.GreaterOrEqual(t, 10*with.Shape, 9*with.N)
		assert.Less(t, 2*without.Colour, with.Colour, "the picture has a say")
		assert.Less(t, 2*without.Shape, with.Shape, "the picture has a say")
	}
}
