package native

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/bindings/bindingstest"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// fakeBackend is a backend on the stand-in library of package bindingstest, whose testdata/fake.c says what
// it computes and which values ask for which failure.
func fakeBackend(t *testing.T, logger *slog.Logger, defines ...string) *Backend {
	t.Helper()
	lib, err := bindings.OpenFile(bindingstest.Fake(t, t.TempDir(), "fake.so", defines...))
	require.NoError(t, err)
	b, err := newBackend(lib, logger)
	require.NoError(t, err)
	b.read = fakeTable
	t.Cleanup(func() {
		require.Zero(t, b.LiveModels())
		require.Zero(t, lib.NativeLiveHandles())
		require.NoError(t, lib.SetLog(0, nil))
	})
	return b
}

// fakeTable makes a table of files that need not exist.
func fakeTable(files backend.Files) (*backend.Table, error) {
	t := &backend.Table{Layout: "diffusers", ZeroTerminalSNR: true, Unused: []string{"model_ema.decay"}}
	for _, f := range []struct{ component, path string }{{"unet", files.Model}, {"vae.decoder", files.VAE}, {"controlnet", files.ControlNet},
		{"taesd", files.TAESD}, {"upscaler", files.Upscaler}, {"detector", files.Detector}} {
		if f.path != "" {
			t.Files = append(t.Files, backend.TableFile{Path: f.path})
			t.Weights = append(t.Weights, backend.Weight{Name: f.component + ".w", Stored: "w", File: len(t.Files) - 1, Type: backend.TypeQ8_0,
				Offset: 9, Bytes: 34, Shape: []int64{32}})
		}
	}
	return t, nil
}

func fakeModel(t *testing.T, b *Backend, path string) *Model {
	t.Helper()
	m, err := b.Open(t.Context(), backend.ModelConfig{Files: backend.Files{Model: path}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m.(*Model)
}

// The magic timesteps of the stand-in.
const (
	untilCancelled = -1
	fiftyMillis    = -2
	outOfMemory    = -3
)

// fakeUNet returns inputs that fit the stand-in's model, [1, 4, 2, 2].
func fakeUNet(timestep float32) (backend.UNetInput, []float32) {
	in := backend.UNetInput{
		Sample: backend.NewTensor(1, 4, 2, 2), Timesteps: []float32{timestep},
		Context: backend.NewTensor(1, 3, 8), Pooled: backend.NewTensor(1, 5), SizeIDs: backend.NewTensor(1, 6),
	}
	for i := range in.Sample.Data {
		in.Sample.Data[i] = float32(i)
	}
	in.Context.Data[23], in.Pooled.Data[4], in.SizeIDs.Data[5] = 100, 200, 300
	return in, make([]float32, 16)
}

// requireUsable checks that an evaluation succeeds and is right.
func requireUsable(t *testing.T, m *Model) {
	t.Helper()
	in, out := fakeUNet(7)
	require.NoError(t, m.UNet(context.Background(), in, out))
	require.Equal(t, float32(607), out[0])
	require.Equal(t, float32(622), out[15])
}
