package pipeline

import (
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Locate replaces the names in the [model] of a run by the paths of their files, as Open does with those of a Config. Paths stay as they
// are. Nothing is downloaded. Errors are request.Errors: of models that are not here, and of names that may mean two files.
func Locate(run *request.Run) error { return prepare.Locate(run) }

// Located is the model that the Pipeline was opened with, with the paths that its names stood for then.
func (p *Pipeline) Located(m request.Model) request.Model {
	c := p.config
	m.Model, m.UNet, m.TextEncoder, m.TextEncoder2, m.VAE = c.Model, c.UNet, c.TextEncoder, c.TextEncoder2, c.VAE
	m.Refiner, m.TAESD, m.Upscaler, m.Embeddings = c.Refiner, c.TAESD, c.Upscaler, c.Embeddings
	return m
}

// located is the Config with paths in place of names.
func (cfg Config) located() (Config, error) {
	run := request.Run{Model: cfg.model()}
	if err := prepare.Locate(&run); err != nil {
		return cfg, err
	}
	m := run.Model
	cfg.Model, cfg.UNet, cfg.TextEncoder, cfg.TextEncoder2, cfg.VAE = m.Model, m.UNet, m.TextEncoder, m.TextEncoder2, m.VAE
	cfg.Refiner, cfg.TAESD, cfg.Upscaler, cfg.Embeddings = m.Refiner, m.TAESD, m.Upscaler, m.Embeddings
	return cfg, nil
}
