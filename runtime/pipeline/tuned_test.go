package pipeline

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/tune"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// triedDevices is the fake with GPUs on which direct convolutions, plain attention and single batches are the fastest.
type triedDevices struct {
	manyDevices
	opened *[]backend.ModelConfig
	tries  *int
	fault  error
}

func (b triedDevices) Build() string { return "fake" }

func (b triedDevices) Try(_ context.Context, t backend.Trial, values []float32) (time.Duration, error) {
	*b.tries++
	for i := range values {
		values[i] = 1
	}
	took := time.Duration(t.Batch*t.Height*t.Width) * time.Microsecond
	if t.Convolution == tune.Direct && t.Kind == backend.TrialConv2D || t.FlashAttention == "off" && t.Kind == backend.TrialAttention {
		took /= 2
	}
	if t.Batch == 1 && t.In >= 320 {
		took = took * 3 / 4
	}
	return took, b.fault
}

func (b triedDevices) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	*b.opened = append(*b.opened, cfg)
	return b.manyDevices.Open(ctx, cfg)
}

func TestWaysOfComputingAreMeasuredOnGPUs(t *testing.T) {
	t.Setenv("DAGUERRE_CACHE", t.TempDir())
	var opened []backend.ModelConfig
	tries := 0
	b := triedDevices{manyDevices{&fake.Backend{}, nil}, &opened, &tries, nil}
	open := func(cfg Config) (*Pipeline, backend.ModelConfig) {
		opened = nil
		p, err := Open(t.Context(), cfg, WithBackend(b))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		return p, opened[0]
	}
	p, cfg := open(Config{})
	assert.Equal(t, []string{"cuda:0", "direct", "off"}, []string{cfg.Device, cfg.Convolution, cfg.FlashAttention})
	assert.Equal(t, tune.Choices{Convolution: tune.Direct, Attention: tune.Plain, Guidance: tune.Separate, TileSize: 448}, p.choices)
	assert.Equal(t, 448, p.Config().VAEPolicy.TileSize)
	first := tries
	assert.Positive(t, first)
	result, err := p.Generate(t.Context(), request.Request{Prompt: "x", Width: 64, Height: 64, NumInferenceSteps: 1})
	require.NoError(t, err)
	assert.Contains(t, result.Manifest(result.Images[0]).Model.Choices, "direct convolutions, plain attention")

	_, cfg = open(Config{Device: "cuda:0", Convolution: "im2col", FlashAttention: "on", VAEPolicy: VAEPolicy{TileSize: 512}})
	assert.Equal(t, []string{"im2col", "on"}, []string{cfg.Convolution, cfg.FlashAttention}, "what the user says stays")
	assert.Equal(t, first, tries, "nothing is measured twice")

	p, cfg = open(Config{Device: "cpu"})
	assert.Equal(t, []string{"", ""}, []string{cfg.Convolution, cfg.FlashAttention}, "the CPU has its own ways")
	assert.Zero(t, p.choices)
	assert.Equal(t, first, tries)
}

func TestAFaultOfMeasuringIsNoFaultOfTheRun(t *testing.T) {
	t.Setenv("DAGUERRE_CACHE", t.TempDir())
	var opened []backend.ModelConfig
	tries := 0
	var log bytes.Buffer
	b := triedDevices{manyDevices{&fake.Backend{}, nil}, &opened, &tries, backend.ErrOutOfMemory}
	p, err := Open(t.Context(), Config{Device: "vulkan:0"}, WithBackend(b), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	require.NoError(t, err)
	defer p.Close()
	assert.Zero(t, p.choices)
	assert.Equal(t, "", opened[0].Convolution)
	assert.Contains(t, log.String(), "convolution direct: out of memory")
	assert.Contains(t, log.String(), "attention flash: out of memory")
}
