package checker

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"strings"
)

// ParsePair reads a prompt of two shapes,
//
//	a COLOUR SHAPE on the left and a COLOUR SHAPE on the right on a COLOUR background
//
// in either order, or with "at the top" and "at the bottom". Both expectations have the background.
func ParsePair(prompt string) (pair [2]Expectation, err error) {
	first, second, ok := strings.Cut(prompt, " and ")
	if !ok {
		return pair, fmt.Errorf("checker: prompt %q has no two shapes", prompt)
	}
	for i, text := range []string{first, second} {
		if pair[i], err = Parse(text); err != nil {
			return pair, err
		}
	}
	pair[0].Background = pair[1].Background
	if half(image.Rect(0, 0, 2, 2), pair[0].Position).Intersect(half(image.Rect(0, 0, 2, 2), pair[1].Position)) != (image.Rectangle{}) {
		return pair, fmt.Errorf("checker: prompt %q does not name two opposite places", prompt)
	}
	return pair, nil
}

// ScorePair checks a picture against a prompt of two shapes: each half must show its shape, with nothing of the other.
func ScorePair(img image.Image, prompt string) (results [2]Result, err error) {
	pair, err := ParsePair(prompt)
	if err != nil {
		return results, err
	}
	p := newPixels(img)
	if p.w < 16 || p.h < 16 {
		return results, nil
	}
	bg := p.borderMedian()
	for i, e := range pair {
		b := img.Bounds()
		alone := image.NewRGBA(b)
		draw.Draw(alone, b, image.NewUniform(color.RGBA{bg[0], bg[1], bg[2], 255}), image.Point{}, draw.Src)
		seen := half(b, e.Position)
		draw.Draw(alone, seen, img, seen.Min, draw.Src)
		results[i] = e.Compare(Check(alone))
	}
	return results, nil
}

// half is the half of a picture in which a place lies; all of it for another word.
func half(r image.Rectangle, place string) image.Rectangle {
	switch place {
	case "left":
		r.Max.X -= r.Dx() / 2
	case "right":
		r.Min.X += r.Dx() / 2
	case "top":
		r.Max.Y -= r.Dy() / 2
	case "bottom":
		r.Min.Y += r.Dy() / 2
	}
	return r
}
