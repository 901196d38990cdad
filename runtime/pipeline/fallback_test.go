package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// manyDevices is the fake with GPUs, of which some fail.
type manyDevices struct {
	*fake.Backend
	fails map[string]error
}

func (b manyDevices) Devices(context.Context) ([]backend.Device, error) {
	return []backend.Device{{ID: "cpu", Kind: backend.DeviceCPU}, {ID: "vulkan:0", Kind: backend.DeviceGPU},
		{ID: "cuda:0", Kind: backend.DeviceGPU}}, nil
}

func (b manyDevices) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	if err := b.fails[cfg.Device]; err != nil {
		return nil, err
	}
	return b.Backend.Open(ctx, cfg)
}

func TestFallback(t *testing.T) {
	lost := fmt.Errorf("the driver is gone: %w", native.ErrDevice)
	for _, c := range []struct {
		device string
		fails  map[string]error
		want   string // device, or what the error says
		steps  []string
	}{
		{"", nil, "cuda:0", nil},
		{"auto", map[string]error{"cuda:0": lost}, "vulkan:0", []string{"device cuda:0 cannot be used; trying vulkan:0"}},
		{"", map[string]error{"cuda:0": lost, "vulkan:0": backend.ErrOutOfMemory}, "cpu",
			[]string{"device cuda:0 cannot be used; trying vulkan:0", "device vulkan:0 cannot be used; trying cpu"}},
		{"cuda:0", map[string]error{"cuda:0": lost}, "the driver is gone", nil},
		{"", map[string]error{"cuda:0": errors.New("the file is damaged")}, "the file is damaged", nil},
		{"", map[string]error{"cuda:0": lost, "vulkan:0": lost, "cpu": backend.ErrUnsupported},
			backend.ErrUnsupported.Error(), []string{"trying vulkan:0", "trying cpu"}},
	} {
		var log bytes.Buffer
		p, err := Open(t.Context(), Config{Device: c.device}, WithBackend(manyDevices{&fake.Backend{}, c.fails}),
			WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))))
		if err != nil {
			require.ErrorContains(t, err, c.want)
		} else {
			assert.Equal(t, c.want, p.Config().Device)
			require.NoError(t, p.Close())
		}
		assert.Equal(t, len(c.steps), strings.Count(log.String(), "cannot be used"))
		for _, s := range c.steps {
			assert.Contains(t, log.String(), s)
		}
	}
}
