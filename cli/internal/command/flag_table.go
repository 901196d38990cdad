package command

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// flagTable decodes the value of a flag that stands for one table of a list, as that table of a run file is. key is the list's, and read
// takes the value apart. Mistakes are added to errs; ok says that there are none.
func flagTable(key, flag, text string, read func(string) (map[string]any, error), errs *request.Errors) (job request.Request, ok bool) {
	name := "--" + flag + " " + text
	table, err := read(text)
	if err != nil {
		errs.Add(name, "%v", err)
		return job, false
	}
	run, err := request.Decode(map[string]any{key: []any{table}})
	var found request.Errors
	if errors.As(err, &found) {
		for _, e := range found {
			errs.Add(name, "%s: %s", strings.TrimPrefix(e.Path, key+"[0]."), e.Message)
		}
		return job, false
	}
	return run.Jobs[0], true
}

// addTables puts the tables of a flag's values behind those of a run file. They go through the decoder of run files. of takes the list out
// of a job. The list given is not changed.
func addTables[T any](list []T, key, flag string, values []string, read func(string) (map[string]any, error),
	of func(job request.Request) []T, errs *request.Errors) []T {
	list = slices.Clone(list)
	for _, text := range values {
		if job, ok := flagTable(key, flag, text, read, errs); ok {
			list = append(list, of(job)...)
		}
	}
	return list
}

// boxOf reads the four numbers of a box. example is a right value of the flag.
func boxOf(numbers []string, example string) (box []any, err error) {
	for _, number := range numbers {
		x, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return nil, errors.New("has the number " + number + ", which is none; write " + example)
		}
		box = append(box, x)
	}
	return box, nil
}

// setNumber sets a key of a table to the number of a text, unless that is empty.
func setNumber(table map[string]any, key, text string) error {
	if text == "" {
		return nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return errors.New("has the " + key + " " + text + ", which is no number")
	}
	table[key] = x
	return nil
}
