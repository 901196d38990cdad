package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	hardware "github.com/daguerre-go/daguerre/internal/machine"
)

// variant is one program with its settings.
type variant struct {
	name  string
	stock bool
	run   func(ctx context.Context, o options, picture string) (sample, error)
}

// sample is what one picture took. Times are wall-clock seconds.
type sample struct {
	Load    float64   `json:"load_seconds"`
	Text    float64   `json:"text_seconds"`
	Steps   []float64 `json:"step_seconds"`
	Decode  float64   `json:"decode_seconds"`
	Total   float64   `json:"process_seconds"` // from start to exit of the process
	CPU     float64   `json:"cpu_seconds"`     // user and system, of all threads
	PeakRSS int64     `json:"peak_rss_bytes"`
	Picture string    `json:"picture,omitempty"` // "" of a peer, which makes none
	Note    string    `json:"note,omitempty"`    // the precision that was chosen
}

// share is how much of the CPU time of its threads a process got: well below 1, others were using the
// machine, or the program left threads idle.
func (s sample) share(threads int) float64 {
	if s.Total == 0 || threads == 0 {
		return 0
	}
	return s.CPU / s.Total / float64(threads)
}

// precisions are the values of --daguerre-variants that choose the arithmetic; others are types of weights.
var precisions = []string{"auto", "exact", "f32", "f16", "bf16"}

// variants returns what is to be compared, the one that the others are held against first.
func (o options) variants() ([]variant, error) {
	var out []variant
	for _, name := range strings.Split(o.stockVariants, ",") {
		v, err := stockVariant(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	for _, name := range strings.Split(o.daguerreVariants, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			return nil, errors.New("--daguerre-variants has an empty entry")
		}
		out = append(out, variant{name: "Daguerre " + name, run: func(ctx context.Context, o options, picture string) (sample, error) {
			return runDaguerre(ctx, o, name, picture)
		}})
	}
	if o.peers == "" {
		return out, nil
	}
	for _, name := range strings.Split(o.peers, ",") {
		v, err := peerVariant(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func stockVariant(name string) (variant, error) {
	weights, extras, _ := strings.Cut(name, "+")
	args := []string{"--type", weights}
	if weights == "" {
		return variant{}, fmt.Errorf("--stock-variants: %q names no type", name)
	}
	for _, extra := range strings.Split(extras, "+") {
		switch extra {
		case "":
		case "fa":
			args = append(args, "--diffusion-fa")
		case "direct":
			args = append(args, "--diffusion-conv-direct", "--vae-conv-direct")
		default:
			return variant{}, fmt.Errorf("--stock-variants: %q of %q is unknown; known are +fa and +direct", extra, name)
		}
	}
	return variant{name: "stock " + name, stock: true, run: func(ctx context.Context, o options, picture string) (sample, error) {
		return runStock(ctx, o, args, picture)
	}}, nil
}

// runStock makes the picture with the stock engine.
func runStock(ctx context.Context, o options, extra []string, picture string) (sample, error) {
	t := o.task
	args := append([]string{"--model", o.model, "--prompt", t.Prompt, "--negative-prompt", t.NegativePrompt,
		"--width", strconv.Itoa(t.Size), "--height", strconv.Itoa(t.Size), "--steps", strconv.Itoa(t.Steps),
		"--cfg-scale", strconv.FormatFloat(t.Guidance, 'g', -1, 64), "--seed", strconv.FormatInt(t.Seed, 10),
		"--threads", strconv.Itoa(o.threads), "--output", picture}, extra...)
	if o.projection != "" {
		args = append(args, "--clip-g", o.projection)
	}
	var p stockParser
	s, err := measure(ctx, o, exec.CommandContext(ctx, o.stock, args...), p.line)
	if err != nil {
		return s, err
	}
	s.Picture = picture
	return s, p.finish(&s, t.Steps)
}

// runFile is Daguerre's run file for the stock engine's sampler; see ../README.md for each line.
func runFile(o options, name, picture string) map[string]any {
	t := o.task
	model := map[string]any{"model": o.model, "device": "cpu", "threads": o.threads}
	if slices.Contains(precisions, name) {
		model["precision"] = name
	} else {
		model["type"] = name
	}
	return map[string]any{
		"model": model, "prompt": t.Prompt, "negative_prompt": t.NegativePrompt, "width": t.Size, "height": t.Size,
		"num_inference_steps": t.Steps, "guidance_scale": t.Guidance, "seed": t.Seed, "rng": "cpu",
		"scheduler": "EulerDiscrete", "scheduler_options": map[string]any{"timestep_spacing": "linspace"},
		"output": picture, "metadata": false,
	}
}

// runDaguerre makes the picture with Daguerre.
func runDaguerre(ctx context.Context, o options, name, picture string) (sample, error) {
	data, err := json.MarshalIndent(runFile(o, name, picture), "", "  ")
	if err != nil {
		return sample{}, err
	}
	file := strings.TrimSuffix(picture, filepath.Ext(picture)) + ".json"
	if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
		return sample{}, err
	}
	var p daguerreParser
	s, err := measure(ctx, o, exec.CommandContext(ctx, o.daguerre, "generate", "-c", file, "--json", "--overwrite"), p.line)
	if err != nil {
		return s, err
	}
	s.Picture = picture
	return s, p.finish(&s, o.task.Steps)
}

// measure runs a command, hands over the lines of its standard output, and fills in what the system
// knows of the process.
func measure(ctx context.Context, o options, cmd *exec.Cmd, line func([]byte)) (sample, error) {
	tail, said := &lastBytes{limit: 2000}, &lastBytes{limit: 1000}
	cmd.Stderr = tail
	if o.verbose {
		cmd.Stderr = io.MultiWriter(os.Stderr, tail)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return sample{}, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line(scanner.Bytes())
		said.add(append(scanner.Bytes(), '\n'))
	}
	if err := errors.Join(scanner.Err(), cmd.Wait()); err != nil {
		if ctx.Err() != nil {
			return sample{}, ctx.Err()
		}
		return sample{}, fmt.Errorf("%w; the end of what it said:\n%s%s", err, said.bytes, tail.bytes)
	}
	s := sample{Total: time.Since(began).Seconds(), CPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}
	s.PeakRSS = hardware.PeakRSSOf(cmd.ProcessState)
	return s, nil
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct {
	bytes []byte
	limit int
}

func (l *lastBytes) add(p []byte) {
	l.bytes = append(l.bytes, p...)
	l.bytes = l.bytes[max(0, len(l.bytes)-l.limit):]
}

// Write implements io.Writer; it does not fail.
func (l *lastBytes) Write(p []byte) (int, error) {
	l.add(p)
	return len(p), nil
}
