package checker

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scene is a picture to draw; it mirrors tools/nano/data.py.
type scene struct {
	shape, colour, background string
	cx, cy, radius            float64
	w, h                      int
	blur                      int     // box blur passes, as a VAE softens edges
	noise                     float64 // standard deviation of pixel noise
}

func rgb(name string) [3]uint8 {
	for _, c := range palette {
		if c.Name == name {
			return c.RGB
		}
	}
	panic(name)
}

var outlines = func() map[string][]point {
	out := map[string][]point{}
	for _, shape := range shapes {
		if shape != "circle" && shape != "ring" {
			out[shape] = polygon(shape)
		}
	}
	return out
}()

// contains decides by crossings, not by the distances the checker itself uses.
func contains(shape string, x, y float64) bool {
	switch shape {
	case "circle":
		return x*x+y*y < 0.95*0.95
	case "ring":
		r := math.Hypot(x, y)
		return r > 0.54 && r < 1.02
	}
	if math.Abs(x) > 1.2 || math.Abs(y) > 1.2 {
		return false
	}
	inside, outline := false, outlines[shape]
	for i, a := range outline {
		b := outline[(i+1)%len(outline)]
		if (a.y > y) != (b.y > y) && x < (b.x-a.x)*(y-a.y)/(b.y-a.y)+a.x {
			inside = !inside
		}
	}
	return inside
}

// draw renders with 4 x 4 samples a pixel.
func (s scene) draw() *image.NRGBA {
	if s.w == 0 {
		s.w, s.h = Side, Side
	}
	fg, bg := rgb(s.colour), rgb(s.background)
	rng := rand.New(rand.NewPCG(1, 2))
	plane := make([][3]float64, s.w*s.h)
	for i := range plane {
		hits := 0
		for k := range 16 {
			x, y := float64(i%s.w)+(float64(k%4)+0.5)/4, float64(i/s.w)+(float64(k/4)+0.5)/4
			if contains(s.shape, (x-s.cx)/s.radius, (y-s.cy)/s.radius) {
				hits++
			}
		}
		a := float64(hits) / 16
		for c := range 3 {
			plane[i][c] = a*float64(fg[c]) + (1-a)*float64(bg[c])
		}
	}
	for range s.blur {
		plane = blur(plane, s.w, s.h)
	}
	img := image.NewNRGBA(image.Rect(0, 0, s.w, s.h))
	for i, p := range plane {
		v := func(c int) uint8 { return uint8(min(255, max(0, math.Round(p[c]+s.noise*rng.NormFloat64())))) }
		img.SetNRGBA(i%s.w, i/s.w, color.NRGBA{v(0), v(1), v(2), 255})
	}
	return img
}

func blur(in [][3]float64, w, h int) [][3]float64 {
	out := make([][3]float64, len(in))
	for i := range in {
		n := 0.0
		for y := max(0, i/w-1); y <= min(h-1, i/w+1); y++ {
			for x := max(0, i%w-1); x <= min(w-1, i%w+1); x++ {
				n++
				for c := range 3 {
					out[i][c] += in[y*w+x][c]
				}
			}
		}
		for c := range 3 {
			out[i][c] /= n
		}
	}
	return out
}

var places = map[string][2]float64{"left": {-1, 0}, "right": {1, 0}, "top": {0, -1}, "bottom": {0, 1}, "center": {0, 0}}

// TestEveryPicture draws all shapes in all sizes and positions, clean, soft and noisy.
func TestEveryPicture(t *testing.T) {
	sizes := []struct {
		word        string
		radii       [2]float64
		offset      float64
		onlyCentred bool
	}{{"small", [2]float64{22, 24}, 30, false}, {"normal", [2]float64{31, 33}, 21, false}, {"big", [2]float64{43, 46}, 0, true}}
	rng := rand.New(rand.NewPCG(3, 4))
	n := 0
	for _, shape := range shapes {
		for _, size := range sizes {
			for place, d := range places {
				if size.onlyCentred && place != "center" {
					continue
				}
				for variant := range 2 {
					fg := rng.IntN(len(palette))
					bg := (fg + 1 + rng.IntN(len(palette)-1)) % len(palette)
					s := scene{shape: shape, colour: palette[fg].Name, background: palette[bg].Name,
						cx: 64 + d[0]*size.offset + 4*rng.Float64() - 2, cy: 64 + d[1]*size.offset + 4*rng.Float64() - 2,
						radius: size.radii[0] + rng.Float64()*(size.radii[1]-size.radii[0])}
					s.blur, s.noise = 2*variant, 6*float64(variant)
					f := Check(s.draw())
					what := fmt.Sprintf("%+v %s %s: %+v", s, size.word, place, f)
					assert.Equal(t, s.shape, f.Shape, what)
					assert.Equal(t, s.colour, f.Colour, what)
					assert.Equal(t, s.background, f.Background, what)
					assert.Equal(t, place, f.Position, what)
					assert.Equal(t, size.word, f.Size, what)
					assert.Equal(t, 1, f.Components, what)
					assert.Greater(t, f.IoU, 0.85, what)
					assert.Greater(t, f.IoU, f.RunnerUpIoU+0.04, what)
					assert.InDelta(t, s.cx, f.CenterX, 2, what)
					assert.InDelta(t, s.cy, f.CenterY, 2, what)
					assert.InDelta(t, s.radius, f.Radius, 2, what)
					n++
				}
			}
		}
	}
	assert.Equal(t, len(shapes)*(2*5+1)*2, n)
}

// TestEveryColourPair includes the closest ones, such as red on orange.
func TestEveryColourPair(t *testing.T) {
	for _, fg := range palette {
		for _, bg := range palette {
			if fg == bg {
				continue
			}
			f := Check(scene{shape: "heart", colour: fg.Name, background: bg.Name, cx: 64, cy: 64, radius: 32, blur: 1, noise: 4}.draw())
			assert.Equal(t, []string{fg.Name, bg.Name, "heart"}, []string{f.Colour, f.Background, f.Shape})
		}
	}
}

// TestScoreRejects changes one word of the truth at a time: exactly that field must be false.
func TestScoreRejects(t *testing.T) {
	img := scene{shape: "star", colour: "red", background: "blue", cx: 34, cy: 64, radius: 23}.draw()
	for prompt, want := range map[string]Result{
		"a small red star on the left on a blue background":   {Colour: true, Background: true, Shape: true, Position: true, Size: true},
		"a small green star on the left on a blue background": {Background: true, Shape: true, Position: true, Size: true},
		"a small red star on the left on a white background":  {Colour: true, Shape: true, Position: true, Size: true},
		"a small red cross on the left on a blue background":  {Colour: true, Background: true, Position: true, Size: true},
		"a small red star on the right on a blue background":  {Colour: true, Background: true, Shape: true, Size: true},
		"a small red star in the center on a blue background": {Colour: true, Background: true, Shape: true, Size: true},
		"a big red star on the left on a blue background":     {Colour: true, Background: true, Shape: true, Position: true},
		"a red star on a blue background":                     {Colour: true, Background: true, Shape: true, Position: true, Size: true},
		"star":                                                {Colour: true, Background: true, Shape: true, Position: true, Size: true},
	} {
		got, err := Score(img, prompt)
		require.NoError(t, err)
		ok := want.Colour && want.Background && want.Shape && want.Position && want.Size
		assert.Equal(t, ok, got.OK(), prompt)
		got.Expected, got.Found = Expectation{}, Finding{}
		assert.Equal(t, want, got, prompt)
	}
}

// TestShapesAreToldApart scores every shape against every other shape's prompt.
func TestShapesAreToldApart(t *testing.T) {
	for _, drawn := range shapes {
		img := scene{shape: drawn, colour: "yellow", background: "black", cx: 64, cy: 64, radius: 23, blur: 2}.draw()
		for _, said := range shapes {
			r, err := Score(img, "a yellow "+said+" on a black background")
			require.NoError(t, err)
			assert.Equal(t, drawn == said, r.Shape, "%s drawn, %s said", drawn, said)
		}
	}
}

func TestNoObject(t *testing.T) {
	flat := image.NewUniform(color.NRGBA{30, 60, 210, 255})
	img := &sub{flat, image.Rect(0, 0, 128, 128)}
	r, err := Score(img, "a red circle on a blue background")
	require.NoError(t, err)
	assert.True(t, r.Background)
	assert.False(t, r.Colour || r.Shape || r.OK())
	assert.Equal(t, 0, r.Found.Components)
	assert.Equal(t, Finding{}, Check(&sub{flat, image.Rect(0, 0, 15, 200)}))
}

// sub gives an unbounded image bounds.
type sub struct {
	image.Image
	r image.Rectangle
}

func (s *sub) Bounds() image.Rectangle { return s.r }

func TestNoiseIsNoShape(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	img := image.NewNRGBA(image.Rect(0, 0, 128, 128))
	for i := range img.Pix {
		img.Pix[i] = uint8(rng.IntN(256))
	}
	for _, shape := range shapes {
		r, err := Score(img, "a "+shape)
		require.NoError(t, err)
		assert.False(t, r.Shape, "%s: IoU %.2f", shape, r.Found.IoU)
	}
}

// TestParts: cut shapes must not pass as whole ones, inside the picture or at its edge.
func TestParts(t *testing.T) {
	for _, cx := range []float64{0, 64} {
		img := scene{shape: "circle", colour: "red", background: "white", cx: cx, cy: 64, radius: 45}.draw()
		for y := range 128 {
			for x := range 128 {
				if y < 64 || x < int(cx) {
					img.Set(x, y, color.White)
				}
			}
		}
		r, err := Score(img, "a red circle on a white background")
		require.NoError(t, err)
		assert.False(t, r.Shape, "%+v", r.Found)
	}
}

func TestTwoObjectsAreCounted(t *testing.T) {
	img := scene{shape: "circle", colour: "red", background: "white", cx: 32, cy: 64, radius: 23}.draw()
	second := scene{shape: "square", colour: "red", background: "white", cx: 96, cy: 64, radius: 20}.draw()
	for y := range 128 {
		for x := 64; x < 128; x++ {
			img.Set(x, y, second.At(x, y))
		}
	}
	f := Check(img)
	assert.Equal(t, 2, f.Components)
	assert.Equal(t, "circle", f.Shape)
	assert.Equal(t, "left", f.Position)
}

// TestOtherSizes: the words do not depend on the resolution or on where the bounds begin.
func TestOtherSizes(t *testing.T) {
	big := scene{shape: "diamond", colour: "cyan", background: "purple", cx: 512, cy: 512 - 8*21, radius: 8 * 32, w: 1024, h: 1024}.draw()
	wide := scene{shape: "diamond", colour: "cyan", background: "purple", cx: 96, cy: 64 - 21, radius: 32, w: 192, h: 128}.draw()
	for _, img := range []image.Image{big, wide} {
		f := Check(img)
		assert.Equal(t, []string{"diamond", "cyan", "purple", "top", "normal"}, []string{f.Shape, f.Colour, f.Background, f.Position, f.Size})
		assert.InDelta(t, 32, f.Radius, 2)
	}
	shifted := wide.SubImage(image.Rect(32, 0, 160, 128))
	f := Check(shifted)
	assert.InDelta(t, 64, f.CenterX, 2)
	assert.Equal(t, "diamond", f.Shape)
}

func TestDeterministic(t *testing.T) {
	img := scene{shape: "cross", colour: "pink", background: "green", cx: 60, cy: 70, radius: 30, blur: 2, noise: 20}.draw()
	first := Check(img)
	for range 3 {
		assert.Equal(t, first, Check(img))
	}
}

func TestParse(t *testing.T) {
	for prompt, want := range map[string]Expectation{
		"a red circle on a blue background": {Colour: "red", Shape: "circle", Background: "blue"},
		"an orange ring at the bottom on a white background": {Colour: "orange", Shape: "ring", Background: "white",
			Position: "bottom"},
		"A picture of a Small pink HEART in the center on an orange background": {Colour: "pink", Shape: "heart", Background: "orange",
			Position: "center", Size: "small"},
		"a big black star, yellow background, masterpiece": {Colour: "black", Shape: "star", Background: "yellow", Size: "big"},
		"a cross": {Shape: "cross"},
	} {
		got, err := Parse(prompt)
		require.NoError(t, err, prompt)
		assert.Equal(t, want, got, prompt)
	}
	for _, prompt := range []string{"", "a photo of an astronaut", "a red circle and a blue square", "a red and green star",
		"a star on a red background, blue background"} {
		_, err := Parse(prompt)
		require.Error(t, err, prompt)
	}
}

func TestHeldOut(t *testing.T) {
	all := HeldOut()
	require.Len(t, all, 200)
	combos, seeds := map[Expectation]int{}, map[int64]bool{}
	withPosition, withSize := 0, 0
	for _, p := range all {
		e, err := Parse(p.Prompt)
		require.NoError(t, err)
		require.NotEmpty(t, e.Colour)
		require.NotEmpty(t, e.Background)
		require.NotEqual(t, e.Colour, e.Background)
		combos[Expectation{Colour: e.Colour, Shape: e.Shape, Background: e.Background}]++
		seeds[p.Seed] = true
		if e.Position != "" {
			withPosition++
		}
		if e.Size != "" {
			withSize++
		}
	}
	assert.Len(t, combos, 88, "every held-out combination occurs")
	assert.Len(t, seeds, 200)
	assert.Equal(t, 80, withPosition)
	assert.GreaterOrEqual(t, withSize, 60)
	all[0].Prompt = "changed"
	assert.NotEqual(t, "changed", HeldOut()[0].Prompt, "callers get their own copy")
}

func TestSummary(t *testing.T) {
	img := scene{shape: "ring", colour: "red", background: "cyan", cx: 64, cy: 64, radius: 45}.draw()
	var s Summary
	for _, prompt := range []string{"a big red ring on a cyan background", "a small green ring at the top on a cyan background",
		"a red star"} {
		r, err := Score(img, prompt)
		require.NoError(t, err)
		s.Add(r)
	}
	s.SumIoU, s.SumEdgeWidth = 0, 0
	assert.Equal(t, Summary{N: 3, Colour: 2, Background: 3, Shape: 2, All: 1, Position: 0, PositionN: 1, Size: 1, SizeN: 2}, s)
	assert.Contains(t, s.String(), "colour 2/3 (66.7 %)")
}

func BenchmarkCheck(b *testing.B) {
	img := scene{shape: "star", colour: "red", background: "blue", cx: 64, cy: 64, radius: 32, blur: 2}.draw()
	Check(img) // templates
	for b.Loop() {
		Check(img)
	}
}

func ExampleScore() {
	img := scene{shape: "circle", colour: "red", background: "blue", cx: 64, cy: 64, radius: 32}.draw()
	r, err := Score(img, "a red circle on a green background")
	if err != nil {
		panic(err)
	}
	fmt.Println(r.OK(), r.Colour, r.Shape, r.Background, r.Found.Background)
	// Output: false true true false blue
}
