package command

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/progress"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

func devicesCommand(env Env) *cli.Command {
	return &cli.Command{
		Name:      "devices",
		Usage:     "list what can be computed on",
		UsageText: "daguerre devices [--json]",
		Description: `Lists the devices of the library in use, with their memory as of now. A device's name is what --device takes.
A software device emulates a GPU on the CPU; it is used only when named.

EXAMPLES:
   daguerre devices
   daguerre generate --device vulkan:0 ...`,
		Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArgs(c, ""); err != nil {
				return err
			}
			return runDevices(c.Context, env, c.Bool("json"))
		},
	}
}

func runDevices(ctx context.Context, env Env, asJSON bool) error {
	devices, err := env.Native.Devices(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		if devices == nil {
			devices = []backend.Device{}
		}
		return printJSON(env.Stdout, devices)
	}
	rows := [][]string{{"DEVICE", "KIND", "FREE", "TOTAL", "DESCRIPTION"}}
	for _, d := range devices {
		kind := string(d.Kind)
		if d.Software {
			kind += " (software)"
		}
		rows = append(rows, []string{d.ID, kind, progress.Bytes(d.FreeBytes), progress.Bytes(d.TotalBytes), d.Description})
	}
	return printTable(env.Stdout, rows)
}
