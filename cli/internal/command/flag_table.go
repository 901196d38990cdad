package command

import (
	"errors"
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
