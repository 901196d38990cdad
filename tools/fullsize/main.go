// Command fullsize opens synthesized checkpoints of SDXL's full size in their original layouts (base, refiner, VAE, ControlNet), checks
// that every tensor of them has its place, and makes pictures with them at 256 px: make full-size. The weights are random, and so are the
// pictures: the test is that they are made, and with which tensors.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

var (
	dir = flag.String("dir", filepath.Join(os.TempDir(), "daguerre-fullsize"),
		"folder of the checkpoints; those that are there are used")
	precision = flag.String("precision", "auto", "arithmetic")
	weights   = flag.String("type", "auto", "type of the UNets' and text encoders' weights in memory")
	size      = flag.Int("size", 256, "of the pictures, in pixels")
	steps     = flag.Int("steps", 2, "denoising steps; of a run with refiner five times as many are planned, and the last are done")
	only      = flag.String("only", "", "control: base, VAE and ControlNet; refiner: base and refiner; nothing: both")
	keep      = flag.Bool("keep", true, "leave the checkpoints")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	tool.Exit("fullsize", err)
}

func run(ctx context.Context) error {
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return err
	}
	kinds := []synth.Kind{synth.KindSDXLBase}
	if *only != "refiner" {
		kinds = append(kinds, synth.KindVAE, synth.KindControlNet)
	}
	if *only != "control" {
		kinds = append(kinds, synth.KindSDXLRefiner)
	}
	files := map[synth.Kind]string{}
	for _, kind := range kinds {
		path, err := checkpoint(ctx, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		files[kind] = path
		if !*keep {
			defer os.Remove(path)
		}
	}
	base := pipeline.Config{Model: files[synth.KindSDXLBase], Precision: backend.Precision(*precision), Type: backend.Type(*weights)}
	req := request.Request{Prompt: "a lighthouse in fog", Seed: 1, Width: *size, Height: *size, NumInferenceSteps: *steps}
	if *only != "refiner" {
		cfg, with := base, req
		cfg.VAE = files[synth.KindVAE]
		with.ControlNets = []request.ControlNet{{Model: files[synth.KindControlNet], Image: request.Picture{Image: disc(*size)}}}
		if err := generate(ctx, "base, VAE and ControlNet", cfg, with); err != nil {
			return err
		}
	}
	if *only != "control" {
		cfg, with := base, req
		cfg.Refiner, cfg.RefinerOnDemand = files[synth.KindSDXLRefiner], true
		with.RefinerStart, with.RefinerSteps = 0.5, with.NumInferenceSteps
		if err := generate(ctx, "base and refiner", cfg, with); err != nil {
			return err
		}
	}
	return nil
}

// checkpoint writes a synthetic checkpoint, unless it is there, and checks every tensor's name and shape from its header.
func checkpoint(ctx context.Context, kind synth.Kind) (string, error) {
	path := filepath.Join(*dir, string(kind)+"-f16.safetensors")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		fmt.Printf("writing %s\n", path)
		if err := synth.Write(ctx, path, synth.Options{Kind: kind, Type: "F16", Layout: modelfile.LayoutOriginal}); err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	r, err := modelfile.Inspect(path)
	if err != nil {
		return "", err
	}
	if stray, ok := r.Component("other"); ok || r.Reason != "" {
		return "", fmt.Errorf("%s: %v tensors belong nowhere (%s)", path, stray, r.Reason)
	}
	if _, err := modelfile.Check(path, r.Kind); err != nil {
		return "", err
	}
	tensors := 0
	for _, c := range r.Components {
		tensors += c.Tensors
	}
	fmt.Printf("%-16s %s layout, %d tensors, all accounted for\n", kind, r.Layout, tensors)
	return path, nil
}

// witness is a backend that remembers what it opened.
type witness struct {
	backend.Backend
	opened []backend.ModelInfo
}

// Open implements backend.Backend.
func (w *witness) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	m, err := w.Backend.Open(ctx, cfg)
	if err == nil {
		w.opened = append(w.opened, m.Info())
	}
	return m, err
}

// generate makes one picture and reports what it was made with.
func generate(ctx context.Context, what string, cfg pipeline.Config, req request.Request) error {
	b, err := native.New(native.Options{})
	if err != nil {
		return err
	}
	w := &witness{Backend: b}
	began := time.Now()
	p, err := pipeline.Open(ctx, cfg, pipeline.WithBackend(w))
	if err != nil {
		return err
	}
	opened := time.Since(began)
	out, err := p.Generate(ctx, req)
	if err := errors.Join(err, p.Close()); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	for _, info := range w.opened {
		if info.UnusedTensors != 0 && cfg.VAE == "" {
			return fmt.Errorf("%s: %d tensors of a %s were not used, among them %s", what, info.UnusedTensors, info.Kind, info.UnusedExample)
		}
		var names []string
		tensors := int64(0)
		for _, c := range info.Components {
			if c.Tensors > 0 {
				names = append(names, c.Name)
			}
			tensors += c.Tensors
		}
		fmt.Printf("  %-14s %s: %s: %d tensors, %d of the file unused\n", info.Kind, info.Precision, strings.Join(names, ", "), tensors,
			info.UnusedTensors)
	}
	img, t := out.Images[0], out.Timings
	fmt.Printf("%s: %d x %d, opened in %.1f s, text %.1f s, %d steps in %.1f s, VAE %.1f s; %d colours\n", what, img.Bounds().Dx(),
		img.Bounds().Dy(), opened.Seconds(), t.Text.Seconds(), t.Steps, t.Denoise.Seconds(), t.Decode.Seconds(), colours(img))
	if len(out.Warnings) > 0 {
		fmt.Printf("  warnings: %q\n", out.Warnings)
	}
	return nil
}

// disc is a control picture.
func disc(n int) image.Image {
	img := image.NewGray(image.Rect(0, 0, n, n))
	for i := range img.Pix {
		if x, y := i%n-n/2, i/n-n/2; x*x+y*y < n*n/9 {
			img.Pix[i] = 255
		}
	}
	return img
}

// colours counts a picture's different colours: one means that nothing was computed.
func colours(img image.Image) int {
	seen := map[color.Color]bool{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y += 8 {
		for x := b.Min.X; x < b.Max.X; x += 8 {
			seen[img.At(x, y)] = true
		}
	}
	return len(seen)
}
