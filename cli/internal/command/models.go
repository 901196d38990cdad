package command

import "github.com/urfave/cli/v2"

func modelsCommand(env Env) *cli.Command {
	return &cli.Command{
		Name:        "models",
		Usage:       "look into model files, convert them, and write synthetic ones",
		Subcommands: []*cli.Command{modelsInspectCommand(env), modelsConvertCommand(env), modelsSynthCommand(env)},
	}
}
