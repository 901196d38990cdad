package command

import "github.com/urfave/cli/v2"

func modelsCommand(env Env) *cli.Command {
	return &cli.Command{
		Name:        "models",
		Usage:       "look into model files, and write synthetic ones",
		Subcommands: []*cli.Command{modelsInspectCommand(env), modelsSynthCommand(env)},
	}
}
