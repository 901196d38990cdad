package command

import (
	"context"
	"errors"
	"image"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/upscale"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// upscale enlarges a picture with the upscaler in a file, by the upscaler's own scale.
func (env Env) upscale(ctx context.Context, file string, img image.Image) (out *image.NRGBA, err error) {
	cfg := backend.ModelConfig{Files: backend.Files{Upscaler: file}, Precision: backend.PrecisionAuto}
	if err := models.CheckNetwork(ctx, "upscaler", &cfg); err != nil {
		return nil, err
	}
	model, err := env.Native.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	return upscale.Picture(ctx, model, img, upscale.Options{})
}
