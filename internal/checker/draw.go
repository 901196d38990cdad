package checker

import (
	"fmt"
	"image"
	"image/color"
	"math"
)

// Scene is a picture as the data set of the nano models has it: a flat shape on a flat background. It is for control pictures, whose
// shape's place must be known.
type Scene struct {
	Colour, Shape, Background string  // words of palette and shapes
	CenterX, CenterY, Radius  float64 // in pixels at Side
}

// Draw renders the scene, Side x Side, with smooth edges; a word that is unknown is an error.
func (s Scene) Draw() (*image.NRGBA, error) {
	t, err := templateOf(s.Shape)
	if err != nil {
		return nil, err
	}
	fore, okFore := paletteRGB(s.Colour)
	back, okBack := paletteRGB(s.Background)
	if !okFore || !okBack {
		return nil, fmt.Errorf("checker: %q on %q: no colours of the palette", s.Colour, s.Background)
	}
	img := image.NewNRGBA(image.Rect(0, 0, Side, Side))
	for y := range Side {
		for x := range Side {
			a := float64(t.coverage(float32(float64(x)+0.5-s.CenterX), float32(float64(y)+0.5-s.CenterY), float32(s.Radius)))
			mix := func(c int) uint8 { return uint8(math.Round(a*float64(fore[c]) + (1-a)*float64(back[c]))) }
			img.SetNRGBA(x, y, color.NRGBA{mix(0), mix(1), mix(2), 255})
		}
	}
	return img, nil
}

func templateOf(shape string) (*template, error) {
	all := templates()
	for i := range all {
		if all[i].name == shape {
			return &all[i], nil
		}
	}
	return nil, fmt.Errorf("checker: %q is no shape; known shapes are %v", shape, shapes)
}
