// Command score checks the pictures that `evaluate.py pictures` (or any other runtime) made of
// the held-out prompts: NNN.png for prompt NNN of models/nano/heldout.json.
//
//	go run ./tools/nano/score [-min 0.95] [-v] FOLDER
//	go run ./tools/nano/score -marks FOLDER...
//	go run ./tools/nano/score -places FOLDER
//	go run ./tools/nano/score -pairs PROMPTS.json FOLDER
//
// It prints one line a failure and a summary, and exits with 1 if a rate is below -min. With -marks it prints one line a
// folder: how much of the shapes is outlined and striped, which is what the nano LoRAs do. With -places
// it holds the pictures of `evaluate.py controlled` against places.json beside them, with -pairs pictures of two shapes
// against their prompts.
package main

import (
	"errors"
	"flag"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

func main() {
	least := flag.Float64("min", 0, "smallest acceptable rate of colour, background, shape, position and size")
	count := flag.Int("n", len(checker.HeldOut()), "score only the first n prompts")
	verbose := flag.Bool("v", false, "print every picture, not only failures")
	marks := flag.Bool("marks", false, "measure outlines and stripes instead")
	places := flag.Bool("places", false, "hold pictures of the ControlNet against places.json instead")
	pairs := flag.String("pairs", "", "JSON file of prompts with two shapes each")
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	var errs []error
	for _, dir := range flag.Args() {
		switch {
		case *pairs != "":
			errs = append(errs, scorePairs(dir, *pairs, *verbose))
		case *marks:
			errs = append(errs, scoreMarks(dir, *count))
		case *places:
			errs = append(errs, scorePlaces(dir, *verbose))
		default:
			errs = append(errs, score(dir, *count, *verbose, *least))
		}
	}
	tool.Exit("score", errors.Join(errs...))
}

func score(dir string, count int, verbose bool, least float64) error {
	var sum checker.Summary
	for i, p := range checker.HeldOut()[:count] {
		img, err := load(dir, i)
		if err != nil {
			return err
		}
		r, err := checker.Score(img, p.Prompt)
		if err != nil {
			return err
		}
		sum.Add(r)
		if verbose || !r.OK() {
			fmt.Printf("%03d %-62s %s %s on %s, %s, %s, IoU %.2f (%s %.2f), at %.0f,%.0f radius %.1f, ok=%t\n", i, p.Prompt,
				r.Found.Colour, r.Found.Shape, r.Found.Background, r.Found.Position, r.Found.Size, r.Found.IoU,
				r.Found.RunnerUp, r.Found.RunnerUpIoU, r.Found.CenterX, r.Found.CenterY, r.Found.Radius, r.OK())
		}
	}
	fmt.Println(sum)
	for _, r := range [][2]int{{sum.Colour, sum.N}, {sum.Background, sum.N}, {sum.Shape, sum.N}, {sum.Position, sum.PositionN},
		{sum.Size, sum.SizeN}} {
		if float64(r[0]) < least*float64(r[1]) {
			return fmt.Errorf("%s: a rate is below %g", dir, least)
		}
	}
	return nil
}

// load reads the picture of prompt i.
func load(dir string, i int) (image.Image, error) {
	return picture.Load(filepath.Join(dir, fmt.Sprintf("%03d.png", i)))
}

// scoreMarks prints the means over the first count prompts.
func scoreMarks(dir string, count int) error {
	var outline, stripes float64
	shapes := 0
	for i, p := range checker.HeldOut()[:count] {
		img, err := load(dir, i)
		if err != nil {
			return err
		}
		e, err := checker.Parse(p.Prompt)
		if err != nil {
			return err
		}
		m := checker.CheckMarks(img, e)
		outline += m.Outline()
		stripes += m.Stripes()
		if m.Shape == e.Shape && m.IoU >= checker.MinIoU {
			shapes++
		}
	}
	n := float64(count)
	fmt.Printf("%s: outline %.3f, stripes %.3f, shape %d/%d\n", dir, outline/n, stripes/n, shapes, count)
	return nil
}

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
