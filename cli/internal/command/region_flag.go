package command

import (
	"errors"
	"regexp"
	"slices"
	"strconv"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// regionBox is the head of a region's flag where it is a box: four numbers, and a weight behind a colon.
var regionBox = regexp.MustCompile(`^\s*([0-9.]+)\s*,\s*([0-9.]+)\s*,\s*([0-9.]+)\s*,\s*([0-9.]+)\s*(?::\s*([0-9.]+))?\s*=`)

// maskExtension is the head where it is a mask: its name ends where a picture's does.
var maskExtension = regexp.MustCompile(`(?i)^(.+?\.(?:png|jpe?g|webp|gif))(?::\s*([0-9.]+))?\s*=`)

// regionTable reads the value of --region, BOX=PROMPT or MASK=PROMPT with a weight behind a colon, as the table of a run file.
func regionTable(text string) (map[string]any, error) {
	table, weight := map[string]any{}, ""
	if m := regionBox.FindStringSubmatch(text); m != nil {
		var box []any
		for _, number := range m[1:5] {
			x, err := strconv.ParseFloat(number, 64)
			if err != nil {
				return nil, errors.New("has the number " + number + ", which is none; write 0,0,0.5,1=PROMPT")
			}
			box = append(box, x)
		}
		table["box"], weight = box, m[5]
		table["prompt"] = text[len(m[0]):]
	} else if m := maskExtension.FindStringSubmatch(text); m != nil {
		table["mask"], weight = m[1], m[2]
		table["prompt"] = text[len(m[0]):]
	} else {
		return nil, errors.New("names no place; write LEFT,TOP,RIGHT,BOTTOM=PROMPT, such as 0,0,0.5,1=a cat, or MASK.png=PROMPT")
	}
	if weight != "" {
		w, err := strconv.ParseFloat(weight, 64)
		if err != nil {
			return nil, errors.New("has the weight " + weight + ", which is no number")
		}
		table["weight"] = w
	}
	return table, nil
}

// addRegions puts the regions of --region flags behind those of a run file. They go through the decoder of run files. The list given is not
// changed.
func addRegions(list []request.Region, flag string, values []string, errs *request.Errors) []request.Region {
	list = slices.Clone(list)
	for _, text := range values {
		if job, ok := flagTable("region", flag, text, regionTable, errs); ok {
			list = append(list, job.Regions...)
		}
	}
	return list
}
