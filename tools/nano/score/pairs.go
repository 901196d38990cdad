package main

import (
	"fmt"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// scorePairs prints in how many pictures both shapes of the prompt are there, with their colours, in their halves.
func scorePairs(dir, prompts string, verbose bool) error {
	var list []checker.Prompt
	if err := tool.ReadJSON(prompts, &list); err != nil {
		return err
	}
	var both, places, colours, shapes int
	for i, p := range list {
		img, err := load(dir, i)
		if err != nil {
			return err
		}
		r, err := checker.ScorePair(img, p.Prompt)
		if err != nil {
			return err
		}
		count := func(ok bool, n *int) {
			if ok {
				*n++
			}
		}
		count(r[0].Position && r[1].Position, &places)
		count(r[0].Colour && r[1].Colour && r[0].Background && r[1].Background, &colours)
		count(r[0].Shape && r[1].Shape, &shapes)
		ok := r[0].OK() && r[1].OK()
		count(ok, &both)
		if verbose || !ok {
			fmt.Printf("%03d %-90s", i, p.Prompt)
			for _, x := range r {
				fmt.Printf(" %s %s at %.0f,%.0f IoU %.2f;", x.Found.Colour, x.Found.Shape, x.Found.CenterX, x.Found.CenterY, x.Found.IoU)
			}
			fmt.Println()
		}
	}
	n := len(list)
	fmt.Printf("%s: all right %d/%d, both places %d/%d, all three colours %d/%d, both shapes %d/%d\n", dir, both, n, places, n, colours, n,
		shapes, n)
	return nil
}
