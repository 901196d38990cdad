package command

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/words"
)

func listLoRAs(c *cli.Context, env Env) error {
	dirs := append(c.StringSlice("lora-dir"), c.Args().Slice()...)
	if len(dirs) == 0 {
		return usagef(c.Command.HelpName, "give the folders to look in")
	}
	files, err := adapters.NewLibrary(dirs...).List()
	if err != nil {
		return err
	}
	rows := [][]string{{"NAME", "SIZE", "MODIFIED", "FILE"}}
	for _, f := range files {
		rows = append(rows, []string{strings.Map(printable, f.Name), words.Bytes(f.Size), f.ModTime.Format("2006-01-02 15:04"),
			strings.Map(printable, f.Path)})
	}
	return printList(env, c.Bool("json"), append([]library.Found{}, files...), rows) // [] where there are none
}
