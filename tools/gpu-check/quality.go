package main

import (
	"context"
	"fmt"
	"image"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/tune"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// tune measures the ways of computing, and leaves the result in a cache of this run for everything that follows.
func (c *check) tune(ctx context.Context) error {
	if !c.found.GPU() {
		return notRun("the CPU has one way of computing")
	}
	dir, err := filepath.Abs(filepath.Join(c.out, "cache"))
	if err != nil {
		return err
	}
	if err := os.Setenv("DAGUERRE_CACHE", dir); err != nil {
		return err
	}
	t := &tune.Tuner{Trier: c.backend, Build: c.backend.Build(), Dir: dir, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	r, err := t.Measure(ctx, c.found, backend.TypeF16)
	if err != nil {
		return err
	}
	c.report.Choices, c.report.Chosen = &r, r.Choices.String()
	return nil
}

// graphs looks whether the device has a kernel for every node of the full-size graphs. Nothing is allocated.
func (c *check) graphs(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "gpu-check")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "sdxl.safetensors")
	if err := synth.WriteHollow(file, synth.Options{Kind: synth.KindSDXLBase}); err != nil {
		return err
	}
	for _, typ := range []backend.Type{backend.TypeF16, backend.TypeQ8_0} {
		m, err := c.backend.Open(ctx, backend.ModelConfig{Files: backend.Files{Model: file}, Device: c.device, UNetType: typ,
			Precision: backend.PrecisionF16, TextResidency: backend.ResidencyOnDemand, UNetResidency: backend.ResidencyOnDemand,
			VAEResidency: backend.ResidencyOnDemand})
		if err != nil {
			return err
		}
		for _, q := range []struct {
			name string
			q    backend.ComputeQuery
		}{{"UNet 1024", backend.ComputeQuery{Stage: backend.StageUNet, Batch: 2, Height: 128, Width: 128, ContextTokens: 77}},
			{"VAE decode 1024", backend.ComputeQuery{Stage: backend.StageVAEDecode, Batch: 1, Height: 128, Width: 128}},
			{"text 2", backend.ComputeQuery{Stage: backend.StageText2, Batch: 1}}} {
			inspected, ok := m.(backend.Inspected)
			if !ok {
				return notRun("the backend lists no nodes")
			}
			nodes, err := inspected.Nodes(q.q)
			if err != nil {
				return err
			}
			g := Graph{Name: fmt.Sprintf("%s, %s", q.name, typ)}
			for _, n := range nodes {
				g.Nodes += n.Count
				if !n.Supported {
					g.Unsupported = append(g.Unsupported, n)
				}
			}
			c.report.Graphs = append(c.report.Graphs, g)
		}
		if err := m.Close(); err != nil {
			return err
		}
	}
	return nil
}

// fidelity compares pictures of the embedded model with the CPU's exact ones.
func (c *check) fidelity(ctx context.Context) error {
	r := request.Request{Prompt: "a red circle on a blue background", Seed: 3, NumInferenceSteps: 8}
	if c.rehearse {
		r.NumInferenceSteps = 2
	}
	want, err := picture(ctx, pipeline.Config{Device: "cpu", Precision: backend.PrecisionExact}, r)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		precision backend.Precision
		typ       backend.Type
		least     float64
	}{{backend.PrecisionExact, "", 60}, {backend.PrecisionF16, "", 50}, {backend.PrecisionBF16, "", 40},
		{backend.PrecisionF16, backend.TypeQ8_0, 45}} {
		began := time.Now()
		got, err := picture(ctx, pipeline.Config{Device: c.device, Precision: f.precision, Type: f.typ}, r)
		if err != nil {
			return err
		}
		name := strings.TrimSpace(string(f.precision) + " " + string(f.typ))
		db := psnr(got, want)
		c.report.Fidelity = append(c.report.Fidelity, Fidelity{name, round(db), f.least, round(time.Since(began).Seconds())})
		if db < f.least {
			c.report.Failures = append(c.report.Failures, fmt.Sprintf("fidelity: %s has %.1f dB, at least %.0f are wanted", name, db, f.least))
		}
	}
	return nil
}

func picture(ctx context.Context, cfg pipeline.Config, r request.Request) (*image.NRGBA, error) {
	cfg.Model, cfg.Threads = pipeline.NanoModel, 1
	p, err := pipeline.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	result, err := p.Generate(ctx, r)
	if err != nil {
		return nil, err
	}
	return result.Images[0].NRGBA, nil
}

// mostPSNR stands for equal pictures.
const mostPSNR = 99

func psnr(a, b *image.NRGBA) float64 {
	sum, n := 0.0, 0
	for i := range a.Pix {
		if i%4 != 3 {
			d := float64(a.Pix[i]) - float64(b.Pix[i])
			sum += d * d
			n++
		}
	}
	if sum == 0 {
		return mostPSNR
	}
	return min(10*math.Log10(255*255*float64(n)/sum), mostPSNR)
}

var testLine = regexp.MustCompile(`(?m)^--- (PASS|FAIL): (\S+)`)

// goldens runs the tests against diffusers' goldens on the device.
func (c *check) goldens(ctx context.Context) error {
	left := c.clock.left()
	which := "Golden"
	if c.rehearse {
		which, left = "TestGoldenText$|TestGoldenTAESD$", min(left, 3*time.Minute)
	}
	ctx, stop := context.WithTimeout(ctx, left)
	defer stop()
	cmd := exec.CommandContext(ctx, "go", "test", "-v", "-count=1", "./runtime/pipeline", "-run", which)
	cmd.Env = append(os.Environ(), backend.DeviceEnv+"="+c.device, "GGML_VK_DISABLE_F16=1")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	for _, m := range testLine.FindAllStringSubmatch(string(out), -1) {
		if m[1] == "PASS" {
			c.report.Goldens.Passed = append(c.report.Goldens.Passed, m[2])
		} else {
			c.report.Goldens.Failed = append(c.report.Goldens.Failed, m[2])
		}
	}
	if n := len(c.report.Goldens.Failed); n > 0 {
		c.report.Failures = append(c.report.Failures, fmt.Sprintf("goldens: %s", strings.Join(c.report.Goldens.Failed, ", ")))
		_ = os.WriteFile(filepath.Join(c.out, "goldens.log"), out, 0o644)
		return nil
	}
	if ctx.Err() != nil {
		return notRun("after %d tests the time ran out", len(c.report.Goldens.Passed))
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, lastLines(string(out), 5))
	}
	return nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], " / ")
}
