package pipeline

import (
	"context"
	"errors"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// openOnBest opens a model on the device that cfg names. Where it names none and there are several, they are tried from the best
// to the CPU: what a device cannot do steps down to the next with a warning, anything else is the error.
func openOnBest(ctx context.Context, cfg Config, o openOptions) (*Pipeline, error) {
	if cfg.Device != "" && cfg.Device != "auto" {
		return open(ctx, cfg, o)
	}
	devices, err := o.backend.Devices(ctx)
	if err != nil {
		return nil, err
	}
	candidates := backend.Candidates(devices)
	if len(candidates) < 2 {
		return open(ctx, cfg, o)
	}
	var failures []error
	for i, c := range candidates {
		cfg.Device = c.ID
		p, err := open(ctx, cfg, o)
		if err == nil {
			o.logger.Info("device chosen", "device", c.ID, "reason", c.Reason)
			return p, nil
		}
		if ctx.Err() != nil || !deviceFailed(err) {
			return nil, err
		}
		failures = append(failures, err)
		if i+1 < len(candidates) {
			o.logger.Warn("device "+c.ID+" cannot be used; trying "+candidates[i+1].ID, "error", err)
		}
	}
	return nil, errors.Join(failures...)
}
