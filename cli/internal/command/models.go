package command

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

func modelsCommand(env Env) *cli.Command {
	return &cli.Command{
		Name:        "models",
		Usage:       "look into model files, convert them, and write synthetic ones",
		Subcommands: []*cli.Command{modelsInspectCommand(env), modelsConvertCommand(env), modelsSynthCommand(env)},
	}
}

// modelPath is where a model is; nano is unpacked first.
func modelPath(ctx context.Context, path string) (string, error) {
	if path != pipeline.NanoModel {
		return path, nil
	}
	return nano.Path(ctx)
}
