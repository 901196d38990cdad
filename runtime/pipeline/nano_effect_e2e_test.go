//go:build !race

package pipeline

import (
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/internal/convert"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/pictures"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// measureAll says whether effects are measured on all prompts (make measure-nano) or on a few.
func measureAll() bool { return os.Getenv("DAGUERRE_HELDOUT") == "all" }

// TestNanoRefinerSharpens: 23 steps of the base and 7 of the refiner make narrower edges than 30 steps of the base, with the same seeds,
// and what the base gets right stays so (in 99 of 100). The few pictures are made exactly, so that they are the same on every CPU.
func TestNanoRefinerSharpens(t *testing.T) {
	t.Parallel()
	p := openWithRefiner(t, backend.PrecisionExact)
	every := 34
	if measureAll() {
		every = 1
	}
	var sums [2]checker.Summary
	narrower := 0
	for i, h := range checker.HeldOut() {
		if i%every != 0 {
			continue
		}
		var width [2]float64
		for k, mode := range []string{request.RefinerNone, request.RefinerEnsemble} {
			out := generate(t, p, request.Request{Prompt: h.Prompt, Seed: h.Seed, NumInferenceSteps: 30, RefinerMode: mode})
			assert.Equal(t, 30, out.Timings.Steps)
			result, err := checker.Score(out.Images[0], h.Prompt)
			require.NoError(t, err)
			sums[k].Add(result)
			width[k] = result.Found.EdgeWidth
		}
		if width[1] < width[0] {
			narrower++
		}
	}
	base, refined := sums[0], sums[1]
	t.Logf("base alone:  %s", base)
	t.Logf("and refiner: %s; narrower edges in %d of %d", refined, narrower, refined.N)
	assert.Less(t, refined.SumEdgeWidth, base.SumEdgeWidth)
	assert.GreaterOrEqual(t, refined.SumIoU, base.SumIoU-0.01*float64(base.N))
	if measureAll() { // of a few pictures the mean tells, the count does not
		assert.Greater(t, 3*narrower, 2*refined.N, "narrower edges in most pictures")
	}
	assert.GreaterOrEqual(t, refined.All, base.All-base.N/100)
}

// controlled is a prompt and a control picture whose shape lies elsewhere than the prompt's words would put it.
type controlled struct {
	prompt string
	scene  checker.Scene
	seed   int64
}

// controlledPrompts are n prompts of held-out combinations with shapes of any place and size; every other prompt names a place, mostly
// another one.
func controlledPrompts(n int) []controlled {
	rng := rand.New(rand.NewPCG(815, 4711))
	phrases := []string{" on the left", " on the right", " at the top", " at the bottom", " in the center"}
	var out []controlled
	for i, h := range checker.HeldOut() {
		e, err := checker.Parse(h.Prompt)
		if err != nil || len(out) == n {
			break
		}
		radius := 22 + 20*rng.Float64()
		room := 60 - 1.05*radius
		where := func() float64 { return 64 + room*(2*rng.Float64()-1) }
		c := controlled{seed: h.Seed, scene: checker.Scene{Colour: "white", Shape: e.Shape, Background: "black", CenterX: where(),
			CenterY: where(), Radius: radius}}
		c.prompt = article(e.Colour) + " " + e.Shape
		if i%2 == 1 {
			c.prompt += phrases[rng.IntN(len(phrases))]
		}
		c.prompt += " on " + article(e.Background) + " background"
		out = append(out, c)
	}
	return out
}

func article(word string) string {
	if strings.Contains("aeiou", word[:1]) {
		return "an " + word
	}
	return "a " + word
}

// placed counts what a ControlNet is for.
type placed struct {
	n, there, sized, colours, shapes, against, thereAgainst int
	off                                                     float64
}

// near is how far off its place a shape's middle may lie, in pixels; their radii are 22 to 42.
const near = 6.0

func (p *placed) add(t *testing.T, c controlled, img image.Image) {
	t.Helper()
	r, err := checker.Score(img, c.prompt)
	require.NoError(t, err)
	d := math.Hypot(r.Found.CenterX-c.scene.CenterX, r.Found.CenterY-c.scene.CenterY)
	count := func(ok bool, n *int) {
		if ok {
			*n++
		}
	}
	p.n++
	p.off += d
	count(d <= near, &p.there)
	count(math.Abs(r.Found.Radius-c.scene.Radius) <= near, &p.sized)
	count(r.Colour && r.Background, &p.colours)
	count(r.Shape, &p.shapes)
	if r.Expected.Position != "" && r.Expected.Position != checker.PositionWord(c.scene.CenterX-checker.Side/2,
		c.scene.CenterY-checker.Side/2) {
		count(true, &p.against)
		count(d <= near, &p.thereAgainst)
	}
}

func (p placed) log(t *testing.T, name string) {
	t.Logf("%-13s place %d/%d (%.1f px off on average; against the prompt's word %d/%d), size %d/%d, both colours %d/%d, shape %d/%d",
		name, p.there, p.n, p.off/float64(p.n), p.thereAgainst, p.against, p.sized, p.n, p.colours, p.n, p.shapes, p.n)
}

// TestNanoControlNetPlaces: the shape lies where the Canny edges of a drawn one do, in the prompt's colours: with one net, with two of
// weights 0.7 and 0.5 over 0 to 0.6 and 0.2 to 1, and with what is merged of the nano Control-LoRA. Without a net it does not.
func TestNanoControlNetPlaces(t *testing.T) {
	base, err := nano.Path(t.Context())
	require.NoError(t, err)
	merged := filepath.Join(t.TempDir(), "merged.safetensors")
	_, err = convert.MergeControlLoRA(t.Context(), nanoControlLoRA, base, merged, convert.MergeOptions{Type: modelfile.F16})
	require.NoError(t, err)
	p := openNano(t, backend.PrecisionAuto)
	n := 4
	if measureAll() {
		n = 50
	}
	var none, one, two, lora placed
	for i, c := range controlledPrompts(n) {
		drawn, err := c.scene.Draw()
		require.NoError(t, err)
		net := func(file string, weight, start, end float64) request.ControlNet {
			return request.ControlNet{Model: file, Image: request.Picture{Image: drawn}, Preprocessor: "canny", Weight: &weight,
				Start: start, End: end}
		}
		r := request.Request{Prompt: c.prompt, Seed: c.seed, NumInferenceSteps: 20}
		for sum, nets := range map[*placed][]request.ControlNet{
			&none: nil,
			&one:  {net(nanoControlNet, 1, 0, 1)},
			&two:  {net(nanoControlNet, 0.7, 0, 0.6), net(nanoControlNet, 0.5, 0.2, 1)},
			&lora: {net(merged, 1, 0, 1)},
		} {
			if sum == &lora && i >= 2 && !measureAll() {
				continue
			}
			r.ControlNets = nets
			sum.add(t, c, generate(t, p, r).Images[0])
		}
	}
	none.log(t, "no net:")
	for name, sum := range map[string]placed{"one net:": one, "two nets:": two, "Control-LoRA:": lora} {
		sum.log(t, name)
		atLeast := func(count int, of int) bool { return float64(count) >= 0.9*float64(of) }
		assert.True(t, atLeast(sum.there, sum.n), "%s place", name)
		assert.True(t, atLeast(sum.colours, sum.n), "%s colours", name)
		assert.True(t, atLeast(sum.shapes, sum.n), "%s shape", name)
	}
	assert.Less(t, float64(none.there), 0.5*float64(none.n), "without a net the places are others")
}

// TestNanoTAESDResemblesTheVAE: of the same latents the tiny autoencoder makes a picture like the VAE's, in which the checker sees most
// colours and shapes.
func TestNanoTAESDResemblesTheVAE(t *testing.T) {
	p, err := Open(t.Context(), Config{Model: NanoModel, TAESD: nanoTAESD, Precision: backend.PrecisionAuto, Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	every := 50
	if measureAll() {
		every = 4
	}
	var sums [2]checker.Summary
	total, worst := 0.0, math.Inf(1)
	for i, h := range checker.HeldOut() {
		if i%every != 0 {
			continue
		}
		made := generate(t, p, request.Request{Prompt: h.Prompt, Seed: h.Seed, NumInferenceSteps: 20}).Images[0]
		pixels, err := p.models.TAESD.DecodeLatents(t.Context(), made.Latents)
		require.NoError(t, err)
		fast := pictures.Of(pixels.Data, checker.Side, checker.Side)
		for k, img := range []*image.NRGBA{made.NRGBA, fast} {
			result, err := checker.Score(img, h.Prompt)
			require.NoError(t, err)
			sums[k].Add(result)
		}
		db := psnr(t, fast, made.NRGBA)
		total += db
		worst = min(worst, db)
	}
	t.Logf("VAE:   %s", sums[0])
	t.Logf("TAESD: %s", sums[1])
	t.Logf("TAESD against the VAE: %.1f dB on average, worst %.1f dB", total/float64(sums[0].N), worst)
	assert.Equal(t, sums[0].Shape, sums[1].Shape)
	assert.Equal(t, sums[0].Colour, sums[1].Colour)
	assert.Equal(t, sums[0].Background, sums[1].Background)
	assert.Greater(t, total/float64(sums[0].N), 27.0)
}
