package command

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/tune"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// tuning is what was measured of a device.
type tuning struct {
	Device string `json:"device"`
	tune.Report
}

// tuningOf tells what is known of the ways of computing on GPUs. With measure it is measured anew, on the devices named or on all GPUs.
func tuningOf(ctx context.Context, env Env, named []string, measure bool) ([]tuning, []finding, error) {
	devices, err := env.Native.Devices(ctx)
	if err != nil {
		return nil, nil, nil // the check of devices has told
	}
	chosen, missing := tune.Find(devices, named)
	if measure && missing != "" {
		return nil, nil, &usageError{message: fmt.Sprintf("--device %q is not here", words.Clip(missing)), command: "daguerre doctor"}
	}
	if !measure {
		chosen = nil
		for _, d := range devices {
			if d.GPU() {
				chosen = append(chosen, d)
			}
		}
	}
	if len(chosen) == 0 {
		if measure {
			return nil, []finding{{Check: "tuning", Status: checkWarn, Message: "no GPU is here; the CPU has one way of computing",
				Remedy: "name a software device with --device to measure it all the same"}}, nil
		}
		return nil, nil, nil
	}
	trier, err := env.Native.Trier()
	if err != nil {
		return nil, nil, err
	}
	dir, err := nano.CacheDir()
	if err != nil {
		return nil, nil, err
	}
	t := &tune.Tuner{Trier: trier, Build: trier.Build(), Dir: dir, Log: slog.New(slog.DiscardHandler), Now: env.Now}
	var all []tuning
	var findings []finding
	for _, d := range chosen {
		report, f, err := tuneOne(ctx, t, d, measure)
		if err != nil {
			return all, findings, err
		}
		if report != nil {
			all = append(all, tuning{d.ID, *report})
		}
		findings = append(findings, f)
	}
	return all, findings, nil
}

// tuneOne tells what is known of one device.
func tuneOne(ctx context.Context, t *tune.Tuner, d backend.Device, measure bool) (*tune.Report, finding, error) {
	f := finding{Check: "tuning", Status: checkOK}
	report, ok := t.Load(d, backend.TypeF16)
	if measure {
		var err error
		if report, err = t.Measure(ctx, d, backend.TypeF16); ctx.Err() != nil {
			return nil, f, ctx.Err()
		} else if err != nil {
			f.Remedy = "wait for the other process, or look at the device's driver"
			return nil, f.failed(err, "%s: %v", d.ID, err), nil
		}
		ok = true
	}
	if !ok {
		f.Message = d.ID + ": not measured yet; that is done when it is first used"
		if d.Software {
			f.Message = d.ID + ": not measured; a software device is measured by --tune --device " + d.ID + " only"
		}
		return nil, f, nil
	}
	f.Message = fmt.Sprintf("%s: %s", d.ID, report.Choices)
	f.Details = append(f.Details, fmt.Sprintf("%s, %s", report.Device, report.Driver),
		fmt.Sprintf("measured %s in %s on layers of %s size, weights of %s", report.Measured, progress.Seconds(report.Seconds), report.Size,
			report.Type))
	for _, c := range report.Candidates {
		line := fmt.Sprintf("%-14s %-9s ", c.Setting, c.Value)
		switch {
		case c.Status != tune.OK:
			line += fmt.Sprintf("%s: %s", c.Status, c.Reason)
			f.Status = checkWarn
		case c.Setting == "vae_tile_size":
			line += fmt.Sprintf("%8.3g ms a megapixel", 1000*c.Seconds)
		default:
			line += fmt.Sprintf("%8.3g ms", 1000*c.Seconds)
		}
		if c.Error > 0 && c.Status == tune.OK {
			line += fmt.Sprintf(", %.1g from the CPU", c.Error)
		}
		if c.Chosen {
			line += "  <- chosen"
		}
		f.Details = append(f.Details, line)
	}
	return &report, f, nil
}
