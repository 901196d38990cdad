package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// listedDevice is a device as devices --json prints it.
type listedDevice struct {
	backend.Device
	Auto     int      `json:"auto"` // place in the order of automatic choice, from 1; 0: never chosen
	Reason   string   `json:"reason"`
	Features []string `json:"features"` // of the CPU: instruction sets that the library uses
}

// describeDevices tells of each device when it is chosen automatically, and why.
func describeDevices(devices []backend.Device, lib Library) []listedDevice {
	candidates := backend.Candidates(devices)
	list := []listedDevice{}
	for _, d := range devices {
		l := listedDevice{Device: d, Features: []string{}}
		if d.Kind == backend.DeviceCPU {
			for _, f := range lib.CPUFeatures {
				if slices.Contains(lib.Features, f) {
					l.Features = append(l.Features, f)
				}
			}
		}
		i := slices.IndexFunc(candidates, func(c backend.Candidate) bool { return c.ID == d.ID })
		switch {
		case i >= 0:
			l.Auto, l.Reason = i+1, candidates[i].Reason
		case d.Software:
			l.Reason = "emulated on the CPU: only by explicit choice"
		default:
			l.Reason = "only by explicit choice"
		}
		list = append(list, l)
	}
	return list
}

func listDevices(c *cli.Context, env Env) error {
	devices, err := env.Native.Devices(c.Context)
	if err != nil {
		return err
	}
	list := describeDevices(devices, env.Native.Library())
	if c.Bool("json") {
		return printJSON(env.Stdout, list)
	}
	rows := [][]string{{"DEVICE", "KIND", "AUTO", "FREE", "TOTAL", "FEATURES", "DESCRIPTION"}}
	chosen := ""
	for _, d := range list {
		kind, auto := string(d.Kind), "-"
		if d.Software {
			kind += " (software)"
		}
		if d.Auto > 0 {
			auto = fmt.Sprint(d.Auto)
		}
		if d.Auto == 1 {
			chosen = fmt.Sprintf("auto takes %s: %s", d.ID, d.Reason)
		}
		rows = append(rows, []string{d.ID, kind, auto, words.Bytes(d.FreeBytes), words.Bytes(d.TotalBytes), strings.Join(d.Features, " "),
			d.Description})
	}
	var p page
	p.table(rows)
	if chosen != "" {
		p.line("\n%s", chosen)
	}
	return p.print(env)
}
