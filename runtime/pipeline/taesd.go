package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// openTAESD opens the tiny autoencoder of cfg, if it names one, and makes sure that it decodes the model's latents.
func (p *Pipeline) openTAESD(ctx context.Context, b backend.Backend) error {
	c := p.config
	if c.TAESD == "" {
		return nil
	}
	m, err := b.Open(ctx, c.taesdModel())
	if err != nil {
		return fmt.Errorf("taesd: %w", err)
	}
	if err := checkTAESD(m.Info(), p.info); err != nil {
		return errors.Join(fmt.Errorf("taesd: %s: %w", c.TAESD, err), m.Close())
	}
	p.taesd = m
	return nil
}

// taesdModel is how the tiny autoencoder is opened.
func (c Config) taesdModel() backend.ModelConfig {
	return backend.ModelConfig{Files: backend.Files{TAESD: c.TAESD}, Device: c.Device, VAEDevice: c.VAEDevice,
		Precision: c.Precision, Threads: c.Threads, FlashAttention: c.FlashAttention}
}

// closeTAESD frees it, if there is one.
func (p *Pipeline) closeTAESD() error {
	if p.taesd == nil {
		return nil
	}
	return p.taesd.Close()
}

func checkTAESD(info, base backend.ModelInfo) error {
	decodes := false
	for _, c := range info.Components {
		decodes = decodes || c.Name == "vae_decoder" && c.Opened
	}
	v := info.VAE
	switch {
	case info.Kind != backend.KindTAESD || !decodes:
		return fmt.Errorf("%w: it holds no decoder of a TAESD", ErrUnsupportedModel)
	case v.LatentChannels != base.VAE.LatentChannels || v.Downscale != base.VAE.Downscale:
		return fmt.Errorf("%w: it decodes latents of %d channels to %d times the size, the model's have %d channels for %d", ErrUnsupportedModel,
			v.LatentChannels, v.Downscale, base.VAE.LatentChannels, base.VAE.Downscale)
	}
	return nil
}
