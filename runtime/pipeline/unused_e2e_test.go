//go:build !race

package pipeline

import (
	"bytes"
	"image"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// withTensor copies a model's file and adds a tensor of one number.
func withTensor(t *testing.T, from, name string, d modelfile.DType) string {
	t.Helper()
	f, err := modelfile.Open(from)
	require.NoError(t, err)
	defer f.Close()
	var tensors []writer.Tensor
	var data [][]byte
	for _, x := range f.Tensors {
		b, err := f.ReadRaw(x.Name)
		require.NoError(t, err)
		tensors, data = append(tensors, writer.Tensor{Name: x.Name, DType: x.DType, Shape: x.Shape, Size: x.Size}), append(data, b)
	}
	size, _ := d.Bytes(1, 1)
	tensors, data = append(tensors, writer.Tensor{Name: name, DType: d, Shape: []int64{1}, Size: size}), append(data, make([]byte, size))
	path := filepath.Join(t.TempDir(), "with.safetensors")
	writeTensors(t, path, tensors, data, f.Metadata)
	return path
}

// What a file holds and nothing uses is said when it is opened, in every result, from which manifests and workers have it, and in plans.
func TestUnusedTensorsAreSaid(t *testing.T) {
	base, err := nano.Path(t.Context())
	require.NoError(t, err)
	model := withTensor(t, base, "model_ema.decay", modelfile.F32)
	taesd := withTensor(t, nanoTAESD, "encoder.layers.0.seen", modelfile.I64)
	net := withTensor(t, nanoControlNet, "down_blocks.0.seen", modelfile.I64)
	atOpening := []string{
		`with.safetensors: nothing uses the tensor "model_ema.decay" (averaged weights of training)`,
		`with.safetensors: nothing uses the tensor "encoder.layers.0.seen" (not of a type that weights have)`,
	}
	var log bytes.Buffer
	cfg := Config{Model: model, TAESD: taesd, Precision: backend.PrecisionExact, Threads: 1}
	p, err := Open(t.Context(), cfg, WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	for _, w := range atOpening {
		assert.Equal(t, 1, strings.Count(log.String(), strings.ReplaceAll(w, `"`, `\"`)), log.String())
	}
	r := request.Request{Prompt: "a red circle", Width: 64, Height: 64, NumInferenceSteps: 1}
	assert.Equal(t, atOpening, generate(t, p, r).Warnings)
	r.ControlNets = []request.ControlNet{{Model: net, Image: request.Picture{Image: image.NewGray(image.Rect(0, 0, 64, 64))}}}
	assert.Equal(t, append(atOpening, `with.safetensors: nothing uses the tensor "down_blocks.0.seen" (not of a type that weights have)`),
		generate(t, p, r).Warnings)

	plan, err := Plan(t.Context(), cfg, nil)
	require.NoError(t, err)
	assert.Equal(t, atOpening, plan.Warnings)
}
