package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// group is a control group with a limit of memory.
type group struct{ dir, procs string }

// makeGroup makes one, of version 2 or 1.
func makeGroup(limit int64) (g group, err error) {
	for _, file := range []string{"/sys/fs/cgroup/%s/memory.max", "/sys/fs/cgroup/memory/%s/memory.limit_in_bytes"} {
		path := fmt.Sprintf(file, fmt.Sprintf("daguerre-memorylimits-%d", os.Getpid()))
		g.dir = filepath.Dir(path)
		g.procs = filepath.Join(g.dir, "cgroup.procs")
		groupErr := os.Mkdir(g.dir, 0o755)
		if groupErr == nil {
			groupErr = os.WriteFile(path, []byte(strconv.FormatInt(limit, 10)), 0o644)
		}
		if groupErr == nil {
			_ = os.WriteFile(filepath.Join(g.dir, "memory.swap.max"), []byte("0"), 0o644) // there may be no swap to limit
			return g, nil
		}
		g.remove()
		err = errors.Join(err, groupErr)
	}
	return g, err
}

func (g group) remove() { _ = os.Remove(g.dir) }

func confine(o options) error {
	if o.Cgroup != "" {
		return os.WriteFile(o.Cgroup, []byte(strconv.Itoa(os.Getpid())), 0o644)
	}
	if o.Data > 0 {
		// Since Linux 4.7 it counts all private memory that can be written.
		return syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: uint64(o.Data), Max: uint64(o.Data)})
	}
	return nil
}

func runChild(ctx context.Context, o options) error {
	if err := confine(o); err != nil {
		return err
	}
	b, err := native.New(native.Options{})
	if err != nil {
		return err
	}
	private := machine.NewSampler(machine.PrivateRSS, 10*time.Millisecond)
	out, err := runStages(ctx, b, o)
	if err != nil {
		return err
	}
	private.Close()
	_, out.Peak, _ = private.Peaks()
	_, out.Pages = machine.BytesRead()
	return json.NewEncoder(os.Stdout).Encode(out)
}

// since returns the seconds since the time it is given, which becomes now.
func since(t *time.Time) float64 {
	now := time.Now()
	s := now.Sub(*t).Seconds()
	*t = now
	return s
}

// uselessMap says why mapping the file is no use: weights are taken from it only as they are.
func uselessMap(o options, info backend.ModelInfo) (string, error) {
	inventory, err := memory.Read(backend.Files{Model: o.Model})
	if err != nil {
		return "", err
	}
	unet, ok := inventory.Component(memory.UNet)
	if !ok || unet.Bytes(memory.PolicyFor(info.Precision, backend.TypeAuto, backend.DeviceCPU, false)).Mapped > 0 {
		return "", nil
	}
	return fmt.Sprintf("no weight is in the file as %s wants it; choose another -precision", info.Precision), nil
}

// runStages makes one picture's computations, in the order of a run.
func runStages(ctx context.Context, b *native.Backend, o options) (out outcome, err error) {
	p, at, hash := o.Plan, time.Now(), sha256.New()
	cfg := backend.ModelConfig{Files: backend.Files{Model: o.Model}, Device: "cpu", Precision: backend.Precision(o.Precision),
		TextResidency: backend.Residency(p.Text), UNetResidency: backend.Residency(p.UNet), VAEResidency: backend.Residency(p.VAE),
		StreamBytes: p.Window}
	m, err := b.Open(ctx, cfg)
	if err != nil {
		return out, err
	}
	defer func() { _ = m.Close() }()
	since(&at) // opening is not counted
	if p.UNet == string(backend.ResidencyMmap) {
		if out.Useless, err = uselessMap(o, m.Info()); err != nil || out.Useless != "" {
			return out, err
		}
	}
	info, latent := m.Info(), o.Size/m.Info().VAE.Downscale
	unload := func(names ...string) error {
		if !p.Unload {
			return nil
		}
		return m.Unload(names...)
	}

	ids := make([]int32, info.TextEncoder.MaxTokens)
	for i := range ids {
		ids[i] = int32(49407 - i%3)
	}
	ids[0] = 49406
	for encoder, name := range []string{"text_encoder", "text_encoder_2"} {
		text, err := m.EncodeText(ctx, backend.TextInput{Encoder: encoder, IDs: [][]int32{ids}})
		if err != nil {
			return out, err
		}
		_ = binary.Write(hash, binary.LittleEndian, text.Hidden.Data)
		if err := unload(name); err != nil {
			return out, err
		}
	}
	out.Text = since(&at)

	in := backend.UNetInput{Sample: wave(1, info.UNet.InChannels, latent, latent), Timesteps: []float32{500},
		Context: wave(1, len(ids), info.UNet.ContextDim), Pooled: wave(1, info.UNet.PooledDim), SizeIDs: wave(1, info.UNet.SizeIDs)}
	predicted := make([]float32, info.UNet.OutChannels*latent*latent)
	for step := range o.Steps {
		if err := m.UNet(ctx, in, predicted); err != nil {
			return out, err
		}
		if seconds := since(&at); step == 0 {
			out.First, out.Step = seconds, math.Inf(1)
		} else {
			out.Step = min(out.Step, seconds)
		}
	}
	_ = binary.Write(hash, binary.LittleEndian, predicted)
	if err := unload("unet"); err != nil {
		return out, err
	}
	at = time.Now()
	pixels, err := m.DecodeLatents(ctx, backend.Tensor{Shape: []int{1, info.VAE.LatentChannels, latent, latent}, Data: in.Sample.Data})
	if err != nil {
		return out, err
	}
	out.Decode = since(&at)
	_ = binary.Write(hash, binary.LittleEndian, pixels.Data)

	out.Counted = m.MemoryStats().TotalPeak
	out.Hash = fmt.Sprintf("%x", hash.Sum(nil))
	return out, nil
}

// wave is a tensor of values that differ.
func wave(shape ...int) backend.Tensor {
	t := backend.NewTensor(shape...)
	for i := range t.Data {
		t.Data[i] = float32(math.Sin(0.7 * float64(i%1013)))
	}
	return t
}
