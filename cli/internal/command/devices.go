package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

func devicesCommand(env Env) *cli.Command {
	return &cli.Command{
		Name:      "devices",
		Usage:     "list what can be computed on",
		UsageText: "daguerre devices [--json]",
		Description: `Lists the devices of the library in use, with their memory as of now. A device's name is what --device takes. AUTO is the
order in which they are tried where no device is named; the reason for the first stands below the table.
A software device emulates a GPU on the CPU; it is used only when named.

EXAMPLES:
   daguerre devices
   daguerre generate --device vulkan:0 ...`,
		Flags:  []cli.Flag{jsonFlag()},
		Action: bare("", func(c *cli.Context) error { return runDevices(c.Context, env, c.Bool("json")) }),
	}
}

// listedDevice is a device as devices --json prints it.
type listedDevice struct {
	backend.Device
	Auto     int      `json:"auto"` // place in the order of automatic choice, from 1; 0: never chosen
	Reason   string   `json:"reason"`
	Features []string `json:"features"` // of the CPU: instruction sets that the library uses
}

// listDevices tells of each device when it is chosen automatically, and why.
func listDevices(devices []backend.Device, lib Library) []listedDevice {
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

func runDevices(ctx context.Context, env Env, asJSON bool) error {
	devices, err := env.Native.Devices(ctx)
	if err != nil {
		return err
	}
	list := listDevices(devices, env.Native.Library())
	if asJSON {
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
	if err := printTable(env.Stdout, rows); err != nil || chosen == "" {
		return err
	}
	return printTo(env.Stdout, "\n%s\n", chosen)
}
