package command

import (
	"errors"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// ipAdapterTable reads the value of --ip-adapter, FILE=PICTURE[:WEIGHT][,KEY=VALUE ...], as the table of a run file. The picture may be
// left out beside embeds or faces.
func ipAdapterTable(text string) (map[string]any, error) {
	table, err := sideTable(text)
	if err != nil {
		return nil, err
	}
	_, embeds := table["embeds"]
	_, faces := table["faces"]
	if table["model"] == "" || table["image"] == "" && !embeds && !faces {
		return nil, errors.New("names no adapter with its picture; write FILE=PICTURE, or FILE=PICTURE:0.6 with a weight")
	}
	if table["image"] == "" {
		delete(table, "image")
	}
	return table, nil
}

// addIPAdapters puts the adapters of --ip-adapter flags behind those of a run file. They go through the decoder of run files. The list
// given is not changed.
func addIPAdapters(list []request.IPAdapter, flag string, values []string, errs *request.Errors) []request.IPAdapter {
	list = slices.Clone(list)
	for _, text := range values {
		table, err := ipAdapterTable(text)
		if err != nil {
			errs.Add("--"+flag+" "+text, "%v", err)
			continue
		}
		run, err := request.Decode(map[string]any{"ip_adapter": []any{table}})
		var found request.Errors
		if errors.As(err, &found) {
			for _, e := range found {
				errs.Add("--"+flag+" "+text, "%s: %s", strings.TrimPrefix(e.Path, "ip_adapter[0]."), e.Message)
			}
			continue
		}
		list = append(list, run.Jobs[0].IPAdapters...)
	}
	return list
}
