package command

import (
	"errors"
	"regexp"

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
		box, err := boxOf(m[1:5], "0,0,0.5,1=PROMPT")
		if err != nil {
			return nil, err
		}
		table["box"], weight = box, m[5]
		table["prompt"] = text[len(m[0]):]
	} else if m := maskExtension.FindStringSubmatch(text); m != nil {
		table["mask"], weight = m[1], m[2]
		table["prompt"] = text[len(m[0]):]
	} else {
		return nil, errors.New("names no place; write LEFT,TOP,RIGHT,BOTTOM=PROMPT, such as 0,0,0.5,1=a cat, or MASK.png=PROMPT")
	}
	return table, setNumber(table, "weight", weight)
}

// addRegions is addTables for the regions of --region flags.
func addRegions(list []request.Region, flag string, values []string, errs *request.Errors) []request.Region {
	return addTables(list, "region", flag, values, regionTable, func(job request.Request) []request.Region { return job.Regions }, errs)
}
