package command

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/words"
)

func loraListCommand(env Env) *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "list the adapters in folders",
		UsageText: "daguerre lora list DIR... [--json]",
		Description: `Lists every .safetensors, .pt, .pth, .ckpt and .bin file in the folders and below them, by the name to use with --lora and in
<lora:name:weight>. Files are not opened; "daguerre lora inspect" does that.

EXAMPLES:
   daguerre lora list loras/
   daguerre lora list loras/ more-loras/ --json

` + exitCodesHelp,
		Flags: []cli.Flag{loraDirFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			dirs := append(c.StringSlice("lora-dir"), c.Args().Slice()...)
			if len(dirs) == 0 {
				return usagef(c.Command.HelpName, "give the folders to look in")
			}
			files, err := adapters.NewLibrary(dirs...).List()
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(env.Stdout, append([]library.Found{}, files...)) // [] where there are none
			}
			rows := [][]string{{"NAME", "SIZE", "MODIFIED", "FILE"}}
			for _, f := range files {
				rows = append(rows, []string{strings.Map(printable, f.Name), words.Bytes(f.Size), f.ModTime.Format("2006-01-02 15:04"),
					strings.Map(printable, f.Path)})
			}
			return printTable(env.Stdout, rows)
		},
	}
}
