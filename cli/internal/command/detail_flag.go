package command

import (
	"errors"
	"regexp"
	"slices"
	"strconv"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// detailPlace is the head of a detail's flag: a box of four numbers or a mask's file, a strength behind a colon, and then a prompt or
// nothing.
var detailPlace = regexp.MustCompile(`(?i)^\s*(?:([0-9.]+)\s*,\s*([0-9.]+)\s*,\s*([0-9.]+)\s*,\s*([0-9.]+)|(.+?\.(?:png|jpe?g|webp|gif)))` +
	`\s*(?::\s*([0-9.]+))?\s*(?:=|$)`)

// detailTable reads the value of --detail, BOX, BOX=PROMPT, MASK or MASK=PROMPT with a strength behind a colon, as the table of a run file.
func detailTable(text string) (map[string]any, error) {
	m := detailPlace.FindStringSubmatch(text)
	if m == nil {
		return nil, errors.New("names no place; write LEFT,TOP,RIGHT,BOTTOM, such as 0.4,0.1,0.6,0.3, or MASK.png, and =PROMPT behind it")
	}
	table := map[string]any{}
	if m[5] != "" {
		table["mask"] = m[5]
	} else {
		var box []any
		for _, number := range m[1:5] {
			x, err := strconv.ParseFloat(number, 64)
			if err != nil {
				return nil, errors.New("has the number " + number + ", which is none; write 0.4,0.1,0.6,0.3")
			}
			box = append(box, x)
		}
		table["box"] = box
	}
	if m[6] != "" {
		x, err := strconv.ParseFloat(m[6], 64)
		if err != nil {
			return nil, errors.New("has the strength " + m[6] + ", which is no number")
		}
		table["strength"] = x
	}
	if rest := text[len(m[0]):]; rest != "" {
		table["prompt"] = rest
	}
	return table, nil
}

// addDetails puts the parts of --detail flags behind those of a run file. They go through the decoder of run files. The list given is not
// changed.
func addDetails(list []request.Detail, flag string, values []string, errs *request.Errors) []request.Detail {
	list = slices.Clone(list)
	for _, text := range values {
		if job, ok := flagTable("detail", flag, text, detailTable, errs); ok {
			list = append(list, job.Details...)
		}
	}
	return list
}
