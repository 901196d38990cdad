package command

import (
	"errors"

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

// addIPAdapters is addTables for the adapters of --ip-adapter flags.
func addIPAdapters(list []request.IPAdapter, flag string, values []string, errs *request.Errors) []request.IPAdapter {
	of := func(job request.Request) []request.IPAdapter { return job.IPAdapters }
	return addTables(list, "ip_adapter", flag, values, ipAdapterTable, of, errs)
}
