// Command gpu-check tells in one report how Daguerre does on a device: whether its pictures are right, what memory it takes against its
// plans, how fast a step is beside PyTorch's, and which ways of computing were chosen. It is for a machine with a GPU that one has for
// ten minutes, and keeps to that time: what does not fit is listed as not run.
//
//	go run ./tools/gpu-check -device cuda:0 -python venv/bin/python -o build/gpu-check
//	go run ./tools/gpu-check -rehearse -device cpu
//
// It wants libdaguerre of the device's variant (./build.sh cuda --library-only) and bin/daguerre. With -python it measures PyTorch in the
// same run, in turns: the UNet of diffusers with the same dimensions and random weights. -rehearse takes the nano model and small
// pictures, to try the program itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

type options struct {
	device, python, out, program, model string
	rehearse                            bool
	budget                              time.Duration
	rounds                              int
	types                               []string
	sizes                               []int
}

// check is one run of the program.
type check struct {
	options
	clock   clock
	backend *native.Backend
	found   backend.Device
	report  Report
}

func main() {
	var o options
	var types string
	flag.StringVar(&o.device, "device", "", "device to check, such as cuda:0; empty: the best")
	flag.StringVar(&o.python, "python", "", "Python with torch and diffusers; empty: no PyTorch")
	flag.StringVar(&o.out, "o", filepath.Join("build", "gpu-check"), "folder of the report")
	flag.StringVar(&o.program, "daguerre", filepath.Join("bin", "daguerre"), "the program")
	flag.StringVar(&o.model, "model", "", "SDXL checkpoint; empty: random weights are made, or nano to rehearse")
	flag.BoolVar(&o.rehearse, "rehearse", false, "nano and small pictures: tries this program, not the device")
	flag.DurationVar(&o.budget, "budget", 10*time.Minute, "time for everything")
	flag.IntVar(&o.rounds, "rounds", 5, "of timing, in turns")
	flag.StringVar(&types, "types", "f16,bf16,q8_0", "types of the UNet's weights")
	flag.Parse()
	o.types, o.sizes = strings.Split(types, ","), []int{512, 1024}
	if o.rehearse {
		o.sizes, o.rounds = []int{64, 128}, min(o.rounds, 2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	tool.Exit("gpu-check", run(ctx, o))
}

// run makes the report. It is written after every section, so that what is there is not lost.
func run(ctx context.Context, o options) error {
	c := &check{options: o, clock: newClock(o.budget)}
	ctx, stop := context.WithDeadline(ctx, c.clock.end)
	defer stop()
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	if err := c.open(ctx); err != nil {
		return err
	}
	for _, s := range []section{
		{"ways of computing", 20 * time.Second, c.tune},
		{"graphs", 20 * time.Second, c.graphs},
		{"fidelity", 60 * time.Second, c.fidelity},
		{"speed", 90 * time.Second, c.speed},
		{"memory", 60 * time.Second, c.memory},
		{"goldens", 90 * time.Second, c.goldens},
	} {
		c.section(ctx, s)
		if err := c.write(); err != nil {
			return err
		}
	}
	fmt.Println(filepath.Join(o.out, "gpu-check.md"))
	if len(c.report.Failures) > 0 {
		return fmt.Errorf("%d failures: %s", len(c.report.Failures), strings.Join(c.report.Failures, "; "))
	}
	return nil
}

// open loads the library and finds the device.
func (c *check) open(ctx context.Context) error {
	var err error
	if c.backend, err = native.New(native.Options{}); err != nil {
		return err
	}
	devices, err := c.backend.Devices(ctx)
	if err != nil {
		return err
	}
	if c.device == "" {
		if best := backend.Candidates(devices); len(best) > 0 {
			c.device = best[0].ID
		}
	}
	var known []string
	for _, d := range devices {
		known = append(known, d.ID)
		if d.ID == c.device {
			c.found = d
		}
	}
	if c.found.ID == "" {
		return fmt.Errorf("-device %s is not here; there are %s", c.device, strings.Join(known, ", "))
	}
	c.report = newReport(c)
	return nil
}
