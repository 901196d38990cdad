package command

import (
	"context"

	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// modelPath is where a model is; nano is unpacked first.
func modelPath(ctx context.Context, path string) (string, error) {
	if path != pipeline.NanoModel {
		return path, nil
	}
	return nano.Path(ctx)
}
