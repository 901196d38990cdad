// Command score checks the pictures that `evaluate.py pictures` (or any other runtime) made of
// the held-out prompts: NNN.png for prompt NNN of models/nano/heldout.json.
//
//	go run ./tools/nano/score [-min 0.95] [-v] FOLDER
//	go run ./tools/nano/score -marks FOLDER...
//	go run ./tools/nano/score -places FOLDER
//
// It prints one line a failure and a summary, and exits with 1 if a rate is below -min. With -marks it prints one line a
// folder: how much of the shapes is outlined and striped, which is what the nano LoRAs do. With -places
// it holds the pictures of `evaluate.py controlled` against places.json beside them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"image"
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
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	var errs []error
	for _, dir := range flag.Args() {
		switch {
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
	for _, r := range [][2]int{{sum.Colour, sum.N}, {sum.Background, sum.N}, {sum.Shape, sum.N}, {sum.Position, sum.PositionN}, {sum.Size, sum.SizeN}} {
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
