package main

import (
	"fmt"

	"github.com/daguerre-go/daguerre/internal/checker"
)

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
