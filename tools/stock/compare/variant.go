package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	hardware "github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
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
	return s.CPU / max(s.Total*float64(threads), 1e-9)
}

// precisions are the values of --daguerre-variants that choose the arithmetic; others are types of weights.
var precisions = []string{"auto", "exact", "f32", "f16", "bf16"}

// variants returns what is to be compared, the one that the others are held against first.
func (o options) variants() (out []variant, err error) {
	for _, list := range []struct {
		flag, names string
		make        func(name string) (variant, error)
	}{{"stock-variants", o.stockVariants, stockVariant}, {"daguerre-variants", o.daguerreVariants, daguerreVariant},
		{"peers", o.peers, peerVariant}} {
		if list.flag == "peers" && list.names == "" || list.names == "none" {
			continue
		}
		for name := range strings.SplitSeq(list.names, ",") {
			v, err := list.make(strings.TrimSpace(name))
			if err != nil {
				return nil, fmt.Errorf("--%s: %w", list.flag, err)
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// stockVariant makes the picture with the stock engine.
func stockVariant(name string) (variant, error) {
	weights, extras, _ := strings.Cut(name, "+")
	if weights == "" {
		return variant{}, fmt.Errorf("%q names no type", name)
	}
	given := map[string]any{"type": weights}
	for extra := range strings.SplitSeq(extras, "+") {
		switch extra {
		case "":
		case "fa":
			given["diffusion_fa"] = true
		case "direct":
			given["conv_direct"] = true
		default:
			return variant{}, fmt.Errorf("%q of %q is unknown; known are +fa and +direct", extra, name)
		}
	}
	return variant{name: "stock " + name, stock: true, run: func(ctx context.Context, o options, picture string) (sample, error) {
		t := o.task
		argument := map[string]any{"model": o.model, "prompt": t.Prompt, "negative_prompt": t.NegativePrompt, "width": t.Size, "height": t.Size,
			"steps": t.Steps, "cfg_scale": t.Guidance, "seed": t.Seed, "threads": o.threads, "output": picture, "clip_g": o.projection}
		maps.Copy(argument, given)
		text, err := json.Marshal(argument)
		if err != nil {
			return sample{}, err
		}
		return measure(ctx, o, exec.CommandContext(ctx, o.stock, string(text)), picture, &timesParser{})
	}}, nil
}

// peerVariant is SDXL in another runtime: "torch" or "openvino", a colon, and torch's name of a type, with "+compile" for torch.compile. It
// has random weights of its own and makes no picture.
func peerVariant(name string) (variant, error) {
	runtime, dtype, ok := strings.Cut(name, ":")
	dtype, compiled := strings.CutSuffix(dtype, "+compile")
	if !ok || runtime == "" || dtype == "" {
		return variant{}, fmt.Errorf("%q is not of the form torch:bfloat16", name)
	}
	shown := runtime + " " + dtype
	if compiled {
		shown += " compiled"
	}
	return variant{name: shown, run: func(ctx context.Context, o options, _ string) (sample, error) {
		cmd := exec.CommandContext(ctx, o.python, "tools/peers/peer.py", "--runtime", runtime, "--dtype", dtype, "--size",
			strconv.Itoa(o.task.Size), "--steps", strconv.Itoa(o.task.Steps), "--threads", strconv.Itoa(o.threads), "--cache", o.peerCache)
		if compiled {
			cmd.Args = append(cmd.Args, "--compile")
		}
		return measure(ctx, o, cmd, "", &timesParser{})
	}}, nil
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

// daguerreVariant makes the picture with Daguerre.
func daguerreVariant(name string) (variant, error) {
	if name == "" {
		return variant{}, errors.New("an entry is empty")
	}
	return variant{name: "Daguerre " + name, run: func(ctx context.Context, o options, picture string) (sample, error) {
		file := strings.TrimSuffix(picture, filepath.Ext(picture)) + ".json"
		if err := tool.WriteJSON(file, runFile(o, name, picture)); err != nil {
			return sample{}, err
		}
		cmd := exec.CommandContext(ctx, o.daguerre, "generate", "-c", file, "--json", "--overwrite")
		return measure(ctx, o, cmd, picture, &daguerreParser{})
	}}, nil
}

// parser reads the lines that a program prints and puts its times into a sample.
type parser interface {
	line(text []byte)
	finish(s *sample, steps int) error
}

// measure runs a command, hands over the lines of its standard output, and fills in what the system
// knows of the process.
func measure(ctx context.Context, o options, cmd *exec.Cmd, picture string, p parser) (sample, error) {
	var said, complained bytes.Buffer
	cmd.Stderr = &complained
	if o.verbose {
		cmd.Stderr = io.MultiWriter(os.Stderr, &complained)
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
		p.line(scanner.Bytes())
		fmt.Fprintf(&said, "%s\n", scanner.Bytes())
	}
	if err := errors.Join(scanner.Err(), cmd.Wait()); err != nil {
		if ctx.Err() != nil {
			return sample{}, ctx.Err()
		}
		return sample{}, fmt.Errorf("%w; the end of what it said:\n%s%s", err, end(said), end(complained))
	}
	s := sample{Total: time.Since(began).Seconds(), CPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(),
		PeakRSS: hardware.PeakRSSOf(cmd.ProcessState), Picture: picture}
	return s, p.finish(&s, o.task.Steps)
}

func end(b bytes.Buffer) []byte { return b.Bytes()[max(0, b.Len()-1500):] }
