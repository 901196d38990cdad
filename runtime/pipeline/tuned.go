package pipeline

import (
	"cmp"
	"context"
	"log/slog"
	"slices"

	"github.com/daguerre-go/daguerre/internal/tune"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// newTuner makes what measures the devices of a backend; nil where it cannot.
func newTuner(b backend.Backend, log *slog.Logger) *tune.Tuner {
	trier, ok := b.(backend.Trier)
	if !ok {
		return nil
	}
	return &tune.Tuner{Trier: trier, Build: trier.Build(), Dir: CacheDir(), Log: log}
}

// tuned fills in what cfg leaves open of the ways of computing on a GPU: with what was the fastest there. It is measured where nobody
// has done so yet and `measure` allows it, which takes a second or two. What cannot be measured stays open, with a warning: the
// defaults work everywhere.
func (cfg Config) tuned(ctx context.Context, b backend.Backend, measure bool, log *slog.Logger) (Config, tune.Choices, error) {
	var none tune.Choices
	tuner := newTuner(b, log)
	if tuner == nil || backend.Named(cfg.Device) == "cpu" {
		return cfg, none, nil
	}
	devices, err := b.Devices(ctx)
	if err != nil {
		return cfg, none, err
	}
	id := backend.Named(cfg.Device)
	if candidates := backend.Candidates(devices); id == "" && len(candidates) > 0 {
		id = candidates[0].ID
	}
	at := slices.IndexFunc(devices, func(d backend.Device) bool { return d.ID == id })
	if at < 0 || !devices[at].GPU() {
		return cfg, none, nil
	}
	typ := tune.TypeFor(cfg.Precision)
	report, ok := tuner.Load(devices[at], typ)
	if !ok && measure {
		report, ok, err = tuner.Choose(ctx, devices[at], typ)
	}
	switch {
	case ctx.Err() != nil:
		return cfg, none, ctx.Err()
	case err != nil:
		log.Warn("the device could not be measured; going on with the defaults", "device", id, "error", err)
		return cfg, none, nil
	case !ok:
		return cfg, none, nil
	}
	return cfg.choose(report.Choices)
}

// choose fills in what cfg leaves open.
func (cfg Config) choose(c tune.Choices) (Config, tune.Choices, error) {
	if cmp.Or(cfg.Convolution, "auto") == "auto" {
		cfg.Convolution = c.Convolution
	}
	if cmp.Or(cfg.FlashAttention, "auto") == "auto" {
		cfg.FlashAttention = map[string]string{tune.Flash: "on", tune.Plain: "off"}[c.Attention]
	}
	if cfg.VAEPolicy.TileSize == 0 {
		cfg.VAEPolicy.TileSize = c.TileSize
	}
	return cfg, c, nil
}
