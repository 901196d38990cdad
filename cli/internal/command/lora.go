package command

import (
	"github.com/urfave/cli/v2"
)

func loraCommand(env Env) *cli.Command {
	return &cli.Command{
		Name:        "lora",
		Usage:       "list and describe adapters, and fuse them into a checkpoint",
		Subcommands: []*cli.Command{loraListCommand(env), loraInspectCommand(env), loraFuseCommand(env)},
	}
}

// loraDirFlag names the folders that adapters are looked up in.
func loraDirFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "lora-dir", Aliases: []string{"d"},
		Usage: "folder in which adapters are looked up by name, with all folders below it (may be repeated)"}
}
