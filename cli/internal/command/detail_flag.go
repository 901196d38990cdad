package command

import (
	"errors"
	"regexp"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// detailPlace is the head of a detail's flag: a box of four numbers, or the file of a mask or of a detector, a strength behind a
// colon, and then a prompt or nothing.
var detailPlace = regexp.MustCompile(`(?i)^\s*(?:([0-9.]+)\s*,\s*([0-9.]+)\s*,\s*([0-9.]+)\s*,\s*([0-9.]+)|` +
	`(.+?\.(?:png|jpe?g|webp|gif|safetensors)))\s*(?::\s*([0-9.]+))?\s*(?:=|$)`)

// detailTable reads the value of --detail, BOX, MASK or DETECTOR, with =PROMPT behind it or without, and with a strength behind a
// colon, as the table of a run file.
func detailTable(text string) (map[string]any, error) {
	m := detailPlace.FindStringSubmatch(text)
	if m == nil {
		return nil, errors.New("names no place; write LEFT,TOP,RIGHT,BOTTOM, such as 0.4,0.1,0.6,0.3, MASK.png or DETECTOR.safetensors, " +
			"and =PROMPT behind it")
	}
	table := map[string]any{}
	if strings.HasSuffix(strings.ToLower(m[5]), ".safetensors") {
		table["detector"] = m[5]
	} else if m[5] != "" {
		table["mask"] = m[5]
	} else {
		box, err := boxOf(m[1:5], "0.4,0.1,0.6,0.3")
		if err != nil {
			return nil, err
		}
		table["box"] = box
	}
	if err := setNumber(table, "strength", m[6]); err != nil {
		return nil, err
	}
	if rest := text[len(m[0]):]; rest != "" {
		table["prompt"] = rest
	}
	return table, nil
}

// addDetails is addTables for the parts of --detail flags.
func addDetails(list []request.Detail, flag string, values []string, errs *request.Errors) []request.Detail {
	return addTables(list, "detail", flag, values, detailTable, func(job request.Request) []request.Detail { return job.Details }, errs)
}
