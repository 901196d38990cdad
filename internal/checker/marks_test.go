package checker

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mark draws a plain scene over with its contrast colour wherever where says so, for pixels of the object given with
// their height above its middle and whether they lie near its edge.
func (s scene) mark(where func(dy float64, nearEdge bool) bool) *image.NRGBA {
	img := s.draw()
	c, _ := paletteRGB(contrastOf(s.colour, s.background))
	at := func(x, y float64) bool { return contains(s.shape, (x-s.cx)/s.radius, (y-s.cy)/s.radius) }
	for y := range Side {
		for x := range Side {
			px, py := float64(x)+0.5, float64(y)+0.5
			inside, near := at(px, py), false
			for k := range 8 {
				sin, cos := math.Sincos(float64(k) * math.Pi / 4)
				near = near || at(px+4*cos, py+4*sin) != inside
			}
			if (inside || near) && where(py-s.cy, near) {
				img.SetNRGBA(x, y, color.NRGBA{c[0], c[1], c[2], 255})
			}
		}
	}
	return img
}

func TestMarks(t *testing.T) {
	stripe := func(dy float64) bool { return math.Abs(math.Remainder(dy, 24)) < 6 }
	kinds := map[string]struct {
		where            func(dy float64, nearEdge bool) bool
		outline, stripes [2]float64
	}{
		"plain":    {func(float64, bool) bool { return false }, [2]float64{0, 0}, [2]float64{0, 0}},
		"outlined": {func(_ float64, near bool) bool { return near }, [2]float64{0.6, 1}, [2]float64{0, 0.2}},
		"striped":  {func(dy float64, near bool) bool { return !near && stripe(dy) }, [2]float64{0, 0.1}, [2]float64{0.3, 0.75}},
	}
	for name, kind := range kinds {
		for _, shape := range []string{"circle", "square", "triangle", "star", "heart", "diamond", "cross"} {
			for _, colours := range [][2]string{{"red", "blue"}, {"black", "white"}, {"yellow", "black"}, {"cyan", "green"}} {
				t.Run(fmt.Sprintf("%s %s %s on %s", name, colours[0], shape, colours[1]), func(t *testing.T) {
					s := scene{shape: shape, colour: colours[0], background: colours[1], cx: 64, cy: 64, radius: 44}
					m := CheckMarks(s.mark(kind.where), Expectation{Colour: colours[0], Background: colours[1], Shape: shape})
					assert.GreaterOrEqual(t, m.Outline(), kind.outline[0], "%+v", m)
					assert.LessOrEqual(t, m.Outline(), kind.outline[1], "%+v", m)
					assert.GreaterOrEqual(t, m.Stripes(), kind.stripes[0], "%+v", m)
					assert.LessOrEqual(t, m.Stripes(), kind.stripes[1], "%+v", m)
					assert.Equal(t, shape, m.Shape)
				})
			}
		}
	}
}

func TestMarksNeedColoursAndAnObject(t *testing.T) {
	s := scene{shape: "circle", colour: "red", background: "blue", cx: 64, cy: 64, radius: 32}
	assert.Zero(t, CheckMarks(s.draw(), Expectation{Shape: "circle", Colour: "red"}))
	assert.Zero(t, CheckMarks(s.draw(), Expectation{Shape: "circle", Background: "blue"}))
	assert.Zero(t, CheckMarks(image.NewNRGBA(image.Rect(0, 0, 8, 8)), Expectation{Colour: "red", Background: "blue"}))
	assert.Zero(t, CheckMarks(image.NewNRGBA(image.Rect(0, 0, 64, 64)), Expectation{Colour: "red", Background: "black"}))
}

func TestContrast(t *testing.T) {
	for _, c := range []struct{ colour, background, want string }{
		{"red", "blue", "black"}, {"black", "blue", "white"}, {"pink", "black", "white"}, {"black", "white", "red"}, {"white", "black", "red"},
	} {
		assert.Equal(t, c.want, contrastOf(c.colour, c.background), "%s on %s", c.colour, c.background)
	}
}

func TestEdgeWidth(t *testing.T) {
	last := 0.0
	for _, blur := range []int{0, 1, 2, 4} {
		s := scene{shape: "heart", colour: "yellow", background: "purple", cx: 64, cy: 64, radius: 32, blur: blur}
		f := Check(s.draw())
		require.Equal(t, "heart", f.Shape)
		assert.Greater(t, f.EdgeWidth, last+0.2, "softer pictures have wider edges")
		last = f.EdgeWidth
	}
	s := scene{shape: "heart", colour: "yellow", background: "purple", cx: 64, cy: 64, radius: 32}
	assert.InDelta(t, 1, Check(s.draw()).EdgeWidth, 0.5)
}
