package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// contender makes steps: evaluations of the UNet on a batch of two.
type contender struct {
	name string
	step func(ctx context.Context, size int) (float64, error) // seconds
	err  error
}

// weights is the checkpoint that is timed.
func (c *check) weights(ctx context.Context) (string, error) {
	switch {
	case c.model != "":
		return c.model, nil
	case c.rehearse:
		return nano.Path(ctx)
	}
	file := filepath.Join(c.out, "sdxl.safetensors")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	return file, synth.Write(ctx, file, synth.Options{Kind: synth.KindSDXLBase, Type: "f16"})
}

// speed times a step of each type and of PyTorch, in turns, so that what else the machine does hits all of them.
func (c *check) speed(ctx context.Context) error {
	file, err := c.weights(ctx)
	if err != nil {
		return err
	}
	c.report.Model = filepath.Base(file)
	var all []*contender
	var info backend.ModelInfo
	for _, typ := range c.types {
		m, err := c.backend.Open(ctx, c.config(file, typ))
		if err != nil {
			c.report.NotRun = append(c.report.NotRun, fmt.Sprintf("speed of %s: %v", typ, err))
			continue
		}
		defer m.Close()
		info = m.Info()
		all = append(all, &contender{name: typ, step: stepOf(m)})
	}
	if len(all) == 0 {
		return fmt.Errorf("no type could be opened")
	}
	half, end := context.WithTimeout(ctx, c.clock.left()/2) // memory and goldens come after it
	defer end()
	peers, stop, err := c.peers(half, info)
	if err != nil {
		c.report.NotRun = append(c.report.NotRun, fmt.Sprintf("PyTorch: %v", err))
	}
	defer stop()
	all = append(all, peers...)
	for _, size := range c.sizes {
		if err := c.race(half, all, size); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) config(file, typ string) backend.ModelConfig {
	cfg := backend.ModelConfig{Files: backend.Files{Model: file}, Device: c.device, UNetType: backend.Type(typ),
		Precision: backend.PrecisionF16, Components: []string{"unet"}}
	if typ == "bf16" {
		cfg.Precision = backend.PrecisionBF16
	}
	if r := c.report.Choices; r != nil {
		cfg.Convolution = r.Choices.Convolution
		cfg.FlashAttention = map[string]string{"flash": "on", "plain": "off"}[r.Choices.Attention]
	}
	return cfg
}

// race times all contenders at one size. The first round warms up and does not count.
func (c *check) race(ctx context.Context, all []*contender, size int) error {
	times := map[string][]float64{}
	defer func() { c.raced(all, size, times) }() // also what was timed before the time ran out
	for round := 0; round <= c.rounds; round++ {
		if c.clock.left() < 30*time.Second && !c.rehearse {
			c.report.NotRun = append(c.report.NotRun, fmt.Sprintf("speed: rounds %d to %d at %d px", round, c.rounds, size))
			break
		}
		for _, k := range all {
			if k.err != nil {
				continue
			}
			var s float64
			if s, k.err = k.step(ctx, size); k.err != nil {
				if ctx.Err() != nil {
					return notRun("the time ran out at %d px, in round %d of %d, at %s", size, round, c.rounds, k.name)
				}
				c.report.NotRun = append(c.report.NotRun, fmt.Sprintf("speed of %s at %d px: %v", k.name, size, k.err))
				continue
			}
			if round > 0 {
				times[k.name] = append(times[k.name], s)
			}
		}
	}
	return nil
}

// raced notes what was timed at one size.
func (c *check) raced(all []*contender, size int, times map[string][]float64) {
	for _, k := range all {
		if list := times[k.name]; len(list) > 0 {
			slices.Sort(list)
			c.report.Speed = append(c.report.Speed, Speed{k.name, size, round(list[len(list)/2]), round(list[0]), round(list[len(list)-1]),
				len(list)})
		}
		k.err = nil // the next size may fit
	}
}

// stepOf evaluates a model's UNet on two rows of noise.
func stepOf(m backend.Model) func(context.Context, int) (float64, error) {
	info := m.Info()
	return func(ctx context.Context, size int) (float64, error) {
		side := size / 8
		u := info.UNet
		in := backend.UNetInput{Sample: noise(2, u.InChannels, side, side), Timesteps: []float32{500, 500}, Context: noise(2, 77, u.ContextDim),
			Pooled: noise(2, u.PooledDim), SizeIDs: backend.NewTensor(2, u.SizeIDs)}
		out := make([]float32, 2*u.OutChannels*side*side)
		began := time.Now()
		err := m.UNet(ctx, in, out)
		return time.Since(began).Seconds(), err
	}
}

func noise(shape ...int) backend.Tensor {
	t := backend.NewTensor(shape...)
	state := uint32(1)
	for i := range t.Data {
		state = state*1664525 + 1013904223
		t.Data[i] = float32(state>>8)/(1<<23) - 1
	}
	return t
}

// peer is a running torch_peer.py: a line with a size and a way goes in, a line with seconds comes out.
type peer struct {
	in  io.WriteCloser
	out *bufio.Reader
}

type peerAnswer struct {
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error"`
}

func (p *peer) ask(v any) (a peerAnswer, err error) {
	line, err := json.Marshal(v)
	if err != nil {
		return a, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return a, err
	}
	answer, err := p.out.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("PyTorch's process ended: %w", err)
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return a, err
	}
	if a.Error != "" {
		return a, fmt.Errorf("%s", a.Error)
	}
	return a, nil
}

// peers starts PyTorch with a UNet of the same dimensions. The caller calls stop.
func (c *check) peers(ctx context.Context, info backend.ModelInfo) (all []*contender, stop func(), err error) {
	stop = func() {}
	if c.python == "" {
		return nil, stop, fmt.Errorf("no -python was given")
	}
	dims, err := json.Marshal(map[string]any{"unet": info.UNet, "device": torchDevice(c.device)})
	if err != nil {
		return nil, stop, err
	}
	cmd := exec.CommandContext(ctx, c.python, filepath.Join("tools", "gpu-check", "torch_peer.py"), string(dims))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, stop, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, stop, err
	}
	if err := cmd.Start(); err != nil {
		return nil, stop, err
	}
	stop = func() { _ = in.Close(); _ = cmd.Wait() }
	p := &peer{in, bufio.NewReader(out)}
	if _, err := p.ask(map[string]any{"ready": true}); err != nil {
		return nil, stop, err
	}
	for _, way := range []struct{ name, dtype, way string }{{"torch SDPA f16", "float16", "sdpa"}, {"torch SDPA bf16", "bfloat16", "sdpa"},
		{"torch.compile bf16", "bfloat16", "compile"}} {
		if torchDevice(c.device) == "cpu" && way.dtype == "float16" {
			continue // there PyTorch's half precision is an emulation
		}
		if torchDevice(c.device) == "cpu" && way.way == "compile" {
			continue // there it compiles for minutes
		}
		all = append(all, &contender{name: way.name, step: func(_ context.Context, size int) (float64, error) {
			a, err := p.ask(map[string]any{"size": size, "dtype": way.dtype, "way": way.way})
			return a.Seconds, err
		}})
	}
	return all, stop, nil
}

// torchDevice is PyTorch's name of a device; Vulkan's are computed on the CPU there.
func torchDevice(id string) string {
	if len(id) > 5 && id[:5] == "cuda:" {
		return id
	}
	return "cpu"
}
