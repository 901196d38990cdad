package controlnet

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/picture"
)

// disc is a dark disc of radius r around the middle of a light w x h picture.
func disc(w, h, r int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			in := min(max(float64(r)+0.5-math.Hypot(float64(x-w/2), float64(y-h/2)), 0), 1) // the border is smoothed
			mix := func(light, dark float64) uint8 { return uint8(light + in*(dark-light)) }
			img.SetNRGBA(x, y, color.NRGBA{mix(230, 40), mix(220, 20), mix(210, 60), 255})
		}
	}
	return img
}

func preprocess(t *testing.T, name string, img image.Image, options map[string]any) *image.NRGBA {
	t.Helper()
	p, err := Find(name)
	require.NoError(t, err)
	out, err := p.Preprocess(img, options)
	require.NoError(t, err)
	require.Equal(t, img.Bounds().Size(), out.Rect.Size())
	for i := 3; i < len(out.Pix); i += 4 {
		require.Equal(t, uint8(255), out.Pix[i], "opaque")
	}
	return out
}

func TestCannyIsOpenCVs(t *testing.T) {
	read := func(name string) *image.NRGBA {
		img, err := picture.Read(filepath.Join("testdata", name+".png"), 1<<20)
		require.NoError(t, err)
		return picture.Opaque(img)
	}
	for _, name := range []string{"smooth", "noise"} {
		img := read("canny_" + name)
		for kind, l2 := range map[string]bool{"l1": false, "l2": true} {
			got := preprocess(t, "canny", img, map[string]any{"low_threshold": 100, "high_threshold": 200.0, "l2_gradient": l2})
			assert.Equal(t, read("canny_"+name+"_"+kind).Pix, got.Pix, "%s %s", name, kind)
		}
	}
}

func TestCannyFindsTheEdgeOfADisc(t *testing.T) {
	const w, h, r = 200, 160, 50
	edges := preprocess(t, "canny", disc(w, h, r), nil)
	found := 0
	for y := range h {
		for x := range w {
			if edges.Pix[4*(y*w+x)] == 0 {
				continue
			}
			found++
			d := math.Hypot(float64(x-w/2), float64(y-h/2))
			require.InDelta(t, r+0.5, d, 1.5, "an edge at %d, %d", x, y)
		}
	}
	assert.InDelta(t, 2*math.Pi*r, found, 60, "a line one pixel wide all the way round")
	for deg := range 360 { // closed
		a := float64(deg) * math.Pi / 180
		hit := false
		for d := r - 2.0; d <= r+3 && !hit; d += 0.5 {
			x, y := int(math.Round(w/2+d*math.Cos(a))), int(math.Round(h/2+d*math.Sin(a)))
			hit = edges.Pix[4*(y*w+x)] > 0
		}
		require.True(t, hit, "no edge at %d degrees", deg)
	}
	flat := image.NewNRGBA(image.Rect(0, 0, 20, 20))
	assert.Zero(t, white(preprocess(t, "canny", flat, nil)))
}

func TestHysteresisFollowsWeakEdgesFromStrongOnes(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 60, 40)) // an edge that fades to the right, and one that is weak from the start
	for y := range 40 {
		for x := range 60 {
			v := uint8(0)
			if y >= 10 && y < 25 {
				v = uint8(90 - x)
			}
			if y >= 30 {
				v = 30
			}
			img.SetNRGBA(x, y, color.NRGBA{v, v, v, 255})
		}
	}
	edges := preprocess(t, "canny", img, map[string]any{"low_threshold": 100, "high_threshold": 250})
	row := func(y int) (n int) {
		for x := range 60 {
			if edges.Pix[4*(y*60+x)] > 0 || edges.Pix[4*((y-1)*60+x)] > 0 {
				n++
			}
		}
		return n
	}
	assert.Greater(t, row(10), 50, "goes on below the high threshold")
	assert.Zero(t, row(30), "never was above it")
}

func white(img *image.NRGBA) (n int) {
	for i := 0; i < len(img.Pix); i += 4 {
		if img.Pix[i] > 0 {
			n++
		}
	}
	return n
}

func TestSoftEdgeIsStrongestAtTheEdge(t *testing.T) {
	const w, h, r = 160, 120, 40
	out := preprocess(t, "softedge", disc(w, h, r), nil)
	at := func(d int) uint8 { return out.Pix[4*((h/2)*w+w/2+d)] }
	assert.Greater(t, at(r), uint8(230))
	assert.Less(t, at(0), uint8(5))
	assert.Less(t, at(r+20), uint8(5))
	assert.Greater(t, at(r), at(r-3))
	assert.Greater(t, at(r-2), at(r-5), "soft")
	noise := image.NewNRGBA(image.Rect(0, 0, 32, 32))
	for i := range 32 * 32 {
		set(noise, i, uint8(100+i*7%2))
	}
	assert.Less(t, preprocess(t, "softedge", noise, nil).Pix[4*(16*32+16)], uint8(128), "noise of one unit is not stretched to white")
}

// drawing is a dark line of the given width on light paper.
func drawing(width int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, 100, 60))
	for i := range 100 * 60 {
		set(img, i, 240)
		if x := i % 100; x >= 50 && x < 50+width {
			set(img, i, 30)
		}
	}
	return img
}

func TestLinesOfADrawing(t *testing.T) {
	for _, name := range []string{"lineart", "scribble"} {
		out := preprocess(t, name, drawing(3), nil)
		for y := range 60 {
			assert.Greater(t, out.Pix[4*(y*100+51)], uint8(100), "%s: the line is white", name)
			assert.Zero(t, out.Pix[4*(y*100+10)], "%s: the paper is black", name)
			assert.Zero(t, out.Pix[4*(y*100+90)], name)
		}
	}
	assert.Equal(t, 60*3, white(preprocess(t, "scribble", drawing(3), nil)), "as wide as it was drawn")
	assert.Zero(t, white(preprocess(t, "lineart", image.NewNRGBA(image.Rect(0, 0, 9, 9)), nil)))
	inverted := preprocess(t, "invert", drawing(3), nil)
	assert.Equal(t, []uint8{15, 225}, []uint8{inverted.Pix[0], inverted.Pix[4*50]})
}

func TestTonesAndBlurs(t *testing.T) {
	img := disc(64, 64, 20)
	middle := 4 * (32*64 + 32)
	cut := preprocess(t, "threshold", img, nil)
	assert.Equal(t, []uint8{255, 0}, []uint8{cut.Pix[0], cut.Pix[middle]})
	assert.Equal(t, uint8(255), preprocess(t, "threshold", img, map[string]any{"threshold": 10}).Pix[middle])
	grey := preprocess(t, "recolor", img, nil)
	assert.Equal(t, []uint8{222, 222, 222}, grey.Pix[:3], "0.299 * 230 + 0.587 * 220 + 0.114 * 210 = 221.85")
	assert.Less(t, preprocess(t, "grayscale", img, map[string]any{"gamma": 2.0}).Pix[0], grey.Pix[0])
	for _, name := range []string{"blur", "tile"} {
		out := preprocess(t, name, img, nil)
		edge := out.Pix[4*(32*64+32+20)]
		assert.True(t, edge > 60 && edge < 220, "%s: the edge is soft: %d", name, edge)
		var before, after float64
		for i, v := range img.Pix {
			before, after = before+float64(v), after+float64(out.Pix[i])
		}
		assert.InDelta(t, 1, after/before, 0.02, "%s keeps the brightness", name)
	}
	assert.Equal(t, img.Pix, preprocess(t, "", img, nil).Pix)
	one := image.NewNRGBA(image.Rect(3, 3, 4, 4))
	for _, p := range Preprocessors {
		preprocess(t, p.Name, one, nil)
		assert.Equal(t, preprocess(t, p.Name, img, nil).Pix, preprocess(t, p.Name, img, nil).Pix, "deterministic")
		for _, alias := range p.Aliases {
			found, err := Find(alias)
			require.NoError(t, err)
			assert.Equal(t, p.Name, found.Name)
		}
	}
}

func TestBlurOfAPointIsAGaussian(t *testing.T) {
	p := newPlane(41, 41)
	p.v[20*41+20] = 1000
	out := p.blur(3)
	sum := float32(0)
	for _, v := range out.v {
		sum += v
	}
	assert.InDelta(t, 1000, sum, 0.1)
	assert.InDelta(t, math.Exp(-0.5), float64(out.v[20*41+23]/out.v[20*41+20]), 1e-5, "at one deviation")
	assert.Equal(t, out.v[20*41+25], out.v[25*41+20])
}

func TestResizeModes(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 200, 100)) // three stripes: red, white, blue
	for y := range 100 {
		for x := range 200 {
			c := []color.NRGBA{{255, 0, 0, 255}, {255, 255, 255, 255}, {0, 0, 255, 255}}[(x+50)/100]
			img.SetNRGBA(x, y, c)
		}
	}
	at := func(m ResizeMode, x, y int) color.NRGBA {
		out, err := Net{Image: img, Resize: m}.Map(64, 64)
		require.NoError(t, err)
		require.Equal(t, image.Rect(0, 0, 64, 64), out.Rect)
		return out.NRGBAAt(x, y)
	}
	red, black, whiteOf := color.NRGBA{255, 0, 0, 255}, color.NRGBA{0, 0, 0, 255}, color.NRGBA{255, 255, 255, 255}
	assert.Equal(t, red, at(Stretch, 2, 2))
	assert.Equal(t, red, at("", 2, 60))
	assert.Equal(t, whiteOf, at(Crop, 20, 32), "the left quarter, which is red, is cut off up to the half")
	assert.Equal(t, black, at(Pad, 2, 2))
	assert.Equal(t, red, at(Pad, 2, 32))
	assert.Equal(t, black, at(Pad, 32, 62))
	edges, err := Net{Image: disc(100, 50, 15), Resize: Pad, Preprocessor: "canny"}.Map(128, 128)
	require.NoError(t, err)
	for x := range 128 {
		require.Zero(t, edges.Pix[4*(31*128+x)]+edges.Pix[4*(32*128+x)], "padding is no edge")
	}
	for _, m := range ResizeModes {
		out, err := Net{Image: disc(3, 700, 1), Resize: ResizeMode(m)}.Map(16, 512)
		require.NoError(t, err)
		require.Equal(t, image.Rect(0, 0, 16, 512), out.Rect, "extreme proportions")
	}
}

func TestNetIsValidatedFieldByField(t *testing.T) {
	good := Net{Image: disc(8, 8, 2), Weight: 1, End: 1}
	require.NoError(t, good.Validate())
	for says, change := range map[string]func(*Net){
		"image: is missing":                                  func(n *Net) { n.Image = nil },
		"image: has no pixels":                               func(n *Net) { n.Image = image.NewNRGBA(image.Rect(0, 0, 0, 5)) },
		"weight: is 11; expected -10 to 10":                  func(n *Net) { n.Weight = 11 },
		"weight: is NaN":                                     func(n *Net) { n.Weight = math.NaN() },
		"start: is -0.1; it is a share of the steps, 0 to 1": func(n *Net) { n.Start = -0.1 },
		"end: is 1.5":                                        func(n *Net) { n.End = 1.5 },
		"start: is 0.7, not before end, which is 0.3":        func(n *Net) { n.Start, n.End = 0.7, 0.3 },
		`control_mode: "x" is none of balanced`:              func(n *Net) { n.Mode = "x" },
		`resize_mode: "x" is none of stretch`:                func(n *Net) { n.Resize = "x" },
		`preprocessor: "canni" is unknown; did you mean "canny"?; known are none, can`: func(n *Net) { n.Preprocessor = "canni" },
		"preprocessor_options.sigma: canny has no such option; there are low_threshold": func(n *Net) {
			n.Preprocessor, n.Options = "canny", map[string]any{"sigma": 1}
		},
		"preprocessor_options.x: invert has no such option; it has none": func(n *Net) {
			n.Preprocessor, n.Options = "invert", map[string]any{"x": 1}
		},
		"preprocessor_options.sigma: is 0; expected a number from 0.3": func(n *Net) {
			n.Preprocessor, n.Options = "blur", map[string]any{"sigma": 0}
		},
		"preprocessor_options.sigma: is big; expected a number": func(n *Net) {
			n.Preprocessor, n.Options = "blur", map[string]any{"sigma": "big"}
		},
		"preprocessor_options.l2_gradient: is 0.5; expected true or fal": func(n *Net) {
			n.Preprocessor, n.Options = "canny", map[string]any{"l2_gradient": 0.5}
		},
		"preprocessor_options.low_threshold: is 300, more than high_thr": func(n *Net) {
			n.Preprocessor, n.Options = "canny", map[string]any{"low_threshold": int64(300)}
		},
	} {
		net := good
		change(&net)
		assert.ErrorContains(t, net.Validate(), says)
	}
	bad := Net{Weight: 99, Mode: "x"}
	assert.ErrorContains(t, bad.Validate(), "image: is missing")
	assert.ErrorContains(t, bad.Validate(), "control_mode", "all at once")
	_, err := bad.Map(8, 8)
	require.ErrorContains(t, err, "without pixels")
}

func ExamplePreprocessor_Preprocess() {
	img := image.NewGray(image.Rect(0, 0, 8, 3)) // black, then white
	for i := range img.Pix {
		if i%8 >= 4 {
			img.Pix[i] = 255
		}
	}
	canny, _ := Find("canny")
	edges, _ := canny.Preprocess(img, map[string]any{"low_threshold": 50, "high_threshold": 100})
	for x := range 8 {
		fmt.Print(edges.NRGBAAt(x, 1).R, " ")
	}
	// Output: 0 0 0 255 0 0 0 0
}

func BenchmarkPreprocess(b *testing.B) {
	img := disc(1024, 1024, 300)
	for _, p := range Preprocessors[1:] {
		b.Run(p.Name, func(b *testing.B) {
			for b.Loop() {
				if _, err := p.Preprocess(img, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*1024*1024/1e6/b.Elapsed().Seconds(), "Mpixel/s")
		})
	}
}
