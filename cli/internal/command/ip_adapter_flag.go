package command

import (
	"errors"
	"slices"

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
		if job, ok := flagTable("ip_adapter", flag, text, ipAdapterTable, errs); ok {
			list = append(list, job.IPAdapters...)
		}
	}
	return list
}
