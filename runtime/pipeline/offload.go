package pipeline

import (
	"errors"
	"log/slog"

	"github.com/daguerre-go/daguerre/internal/memory"
)

// offload is a configuration that leaves a device more room, and what is said of it.
type offload struct {
	cfg  Config
	says string
}

// offloads lists what can go from a device to the CPU: first the text encoders, whose work is small, then the VAE too. What the
// user placed stays where it is.
func offloads(cfg Config) (out []offload) {
	if cfg.TextDevice == "" {
		cfg.TextDevice = memory.HostID
		out = append(out, offload{cfg, "the text encoders are computed on the CPU: "})
	}
	if cfg.VAEDevice == "" {
		cfg.VAEDevice = memory.HostID
		says := "the VAE is computed on the CPU: "
		if len(out) > 0 {
			says = "the text encoders and the VAE are computed on the CPU: "
		}
		out = append(out, offload{cfg, says})
	}
	return out
}

// openOffloaded opens a model with parts of it on the CPU, where a device's memory is too short for all of it. `over` is the error
// without that; it stays the error where nothing helps. open opens a model as its configuration says.
func openOffloaded(cfg Config, over error, log *slog.Logger, open func(Config) (*Pipeline, error)) (*Pipeline, error) {
	short, ok := errors.AsType[*memory.OverBudgetError](over)
	if !ok || short.Device == memory.HostID {
		return nil, over
	}
	for _, off := range offloads(cfg) {
		p, err := open(off.cfg)
		if errors.Is(err, memory.ErrOverBudget) {
			continue
		}
		if err != nil {
			return nil, err
		}
		warning := off.says + over.Error()
		p.warnings = append(p.warnings, warning)
		log.Warn(warning)
		return p, nil
	}
	return nil, over
}
