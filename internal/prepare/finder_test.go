package prepare

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/internal/detect"
)

// TestParts: found boxes in whole pixels, grown as OpenCV's dilation with a square grows them.
func TestParts(t *testing.T) {
	at := func(l, t, r, b float64) detect.Box { return detect.Box{Left: l, Top: t, Right: r, Bottom: b} }
	small, large := at(10.2, 20.9, 29.5, 30.1), at(50, 50, 90, 99.9)
	for name, c := range map[string]struct {
		largest, dilation int
		want              [][4]float64
	}{
		"as they are":    {0, 0, [][4]float64{{10, 20, 30, 31}, {50, 50, 91, 100}}},
		"grown by 4":     {0, 4, [][4]float64{{9, 19, 32, 33}, {49, 49, 93, 100}}},
		"grown by 5":     {0, 5, [][4]float64{{8, 18, 32, 33}, {48, 48, 93, 100}}},
		"shrunk by 4":    {0, -4, [][4]float64{{12, 22, 29, 30}, {52, 52, 90, 99}}},
		"shrunk away":    {0, -20, [][4]float64{{60, 60, 82, 91}}},
		"the largest":    {1, 0, [][4]float64{{50, 50, 91, 100}}},
		"largest of all": {5, 0, [][4]float64{{50, 50, 91, 100}, {10, 20, 30, 31}}},
	} {
		f := &Finder{largest: c.largest, dilation: c.dilation}
		var got [][4]float64
		for _, p := range f.Parts(0, []detect.Box{small, large}, 100, 100) {
			got = append(got, p.Box)
		}
		assert.Equal(t, c.want, got, name)
	}
	corner := (&Finder{}).Parts(3, []detect.Box{at(0, 0, 0.5, 0.5)}, 100, 100)
	assert.Equal(t, []Found{{Detail: 3, Box: [4]float64{0, 0, 2, 2}}}, corner, "a box of 1 would be all of the picture")
}
