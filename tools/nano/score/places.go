package main

import (
	"fmt"
	"math"
	"path/filepath"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// near is how far off its place the middle of a shape may lie, in pixels at checker.Side; their radii are 20 to 44.
const near = 6.0

// place is a prompt with the middle and radius, in pixels, of the shape that the control picture shows.
type place struct {
	Prompt string
	X, Y   float64
	Radius float64
}

// scorePlaces prints how many shapes lie where places.json says, in all and for prompts that name another place, and
// how many have the prompt's colours and shape.
func scorePlaces(dir string, verbose bool) error {
	var places []place
	if err := tool.ReadJSON(filepath.Join(dir, "places.json"), &places); err != nil {
		return err
	}
	var there, sized, colours, shapes, against, thereAgainst int
	var off float64
	for i, p := range places {
		img, err := load(dir, i)
		if err != nil {
			return err
		}
		r, err := checker.Score(img, p.Prompt)
		if err != nil {
			return err
		}
		d := math.Hypot(r.Found.CenterX-p.X, r.Found.CenterY-p.Y)
		off += d
		count := func(ok bool, n *int) {
			if ok {
				*n++
			}
		}
		count(d <= near, &there)
		count(math.Abs(r.Found.Radius-p.Radius) <= near, &sized)
		count(r.Colour && r.Background, &colours)
		count(r.Shape, &shapes)
		if r.Expected.Position != "" && r.Expected.Position != checker.PositionWord(p.X-checker.Side/2, p.Y-checker.Side/2) {
			against++
			count(d <= near, &thereAgainst)
		}
		if verbose || d > near || !r.Colour || !r.Background || !r.Shape {
			fmt.Printf("%03d %-58s at %.0f,%.0f radius %.0f: %s %s on %s at %.0f,%.0f radius %.0f, %.1f px off, IoU %.2f\n", i, p.Prompt,
				p.X, p.Y, p.Radius, r.Found.Colour, r.Found.Shape, r.Found.Background, r.Found.CenterX, r.Found.CenterY, r.Found.Radius, d, r.Found.IoU)
		}
	}
	n := len(places)
	fmt.Printf("%s: place %d/%d (%.1f px off on average), of them against the prompt %d/%d, radius %d/%d, both colours %d/%d, shape %d/%d\n",
		dir, there, n, off/float64(max(n, 1)), thereAgainst, against, sized, n, colours, n, shapes, n)
	return nil
}
