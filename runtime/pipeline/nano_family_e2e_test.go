//go:build !race

package pipeline

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// The trained models beside the nano base; models/nano/README.md is their card.
var (
	nanoControlNet  = filepath.Join("..", "..", "models", "nano", "nano-controlnet-canny.safetensors")
	nanoControlLoRA = filepath.Join("..", "..", "models", "nano", "nano-control-lora-canny.safetensors")
	nanoTAESD       = filepath.Join("..", "..", "models", "nano", "nano-taesd.safetensors")
)

// trainedRefiner unpacks the nano refiner.
func trainedRefiner(t *testing.T) string {
	t.Helper()
	return unpackNano(t, "nano-refiner.safetensors")
}

// unpackNano unpacks one of the larger models beside the nano base.
func unpackNano(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "models", "nano", name+".gz"))
	require.NoError(t, err)
	defer f.Close()
	packed, err := gzip.NewReader(f)
	require.NoError(t, err)
	data, err := io.ReadAll(packed)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

// openWithRefiner opens the nano base with the trained refiner.
func openWithRefiner(t *testing.T, precision backend.Precision) *Pipeline {
	t.Helper()
	p, err := Open(t.Context(), Config{Model: NanoModel, Refiner: trainedRefiner(t), Precision: precision, Threads: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// TestGoldenNanoRefiner compares base and trained refiner with diffusers: the hand-off at 0.8 of 30 steps, and image-to-image.
func TestGoldenNanoRefiner(t *testing.T) {
	p := openWithRefiner(t, backend.PrecisionExact)
	lease, err := p.models.Refiner(t.Context())
	require.NoError(t, err)
	assert.Zero(t, lease.Value.Info.UnusedTensors, lease.Value.Info.UnusedExample)
	require.NoError(t, lease.Release())
	for _, run := range []string{"nano_refiner", "nano_refiner_img2img"} {
		evaluations, r := readRefinerRun(t, run)
		out := generate(t, p, r)
		l2 := relativeL2(t, out.Images[0].Latents.Data, golden(t, "run_"+run+"_latents").Data)
		t.Logf("%-20s latents %.2g relative L2", run, l2)
		assert.Less(t, l2, 1e-3, run)
		assert.Positive(t, evaluations)

		alone := r
		alone.RefinerMode, alone.RefinerStart, alone.RefinerStrength = request.RefinerNone, 0, 0
		if run == "nano_refiner" {
			assert.Equal(t, 30, out.Timings.Steps, "both together")
			alone.DenoisingEnd = r.RefinerStart
		}
		handed := generate(t, p, alone)
		assert.Less(t, relativeL2(t, handed.Images[0].Latents.Data, golden(t, "run_"+run+"_handed").Data), 1e-3, "%s: what the base hands over",
			run)
		assert.Greater(t, relativeL2(t, handed.Images[0].Latents.Data, out.Images[0].Latents.Data), 1e-2, "%s: the refiner has a say", run)
	}
}

// TestGoldenNanoControlNet compares runs under the trained ControlNet with diffusers: one net, two over parts of the steps, guess mode, and
// a net that begins late and ends early.
func TestGoldenNanoControlNet(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	files := map[string]string{"edges": nanoControlNet, "edges_two": nanoControlNet}
	for _, run := range []string{"nano_control", "nano_control_two", "nano_control_guess", "nano_control_range"} {
		r := readControlRun(t, run, files)
		out := generate(t, p, r)
		l2 := relativeL2(t, out.Images[0].Latents.Data, golden(t, "run_"+run+"_latents").Data)
		t.Logf("%-18s latents %.2g relative L2", run, l2)
		assert.Less(t, l2, 1e-3, run)
	}
	r := readControlRun(t, "nano_control", files)
	r.ControlNets = nil
	assert.Greater(t, relativeL2(t, generate(t, p, r).Images[0].Latents.Data, golden(t, "run_nano_control_latents").Data), 1e-2,
		"the net has a say")
}

// TestGoldenNanoTAESD compares the tiny autoencoder both ways with diffusers' AutoencoderTiny.
func TestGoldenNanoTAESD(t *testing.T) {
	m := openNet(t, backend.Files{TAESD: nanoTAESD})
	moments, err := m.EncodeImage(t.Context(), goldenTensor(t, "nano_taesd_pixels"))
	require.NoError(t, err)
	l2 := relativeL2(t, moments.Data[:len(moments.Data)/2], golden(t, "nano_taesd_encoded").Data)
	t.Logf("encoded %.2g relative L2", l2)
	assert.Less(t, l2, 5e-5)
	out, err := m.DecodeLatents(t.Context(), goldenTensor(t, "run_nano_control_latents"))
	require.NoError(t, err)
	l2 = relativeL2(t, out.Data, golden(t, "nano_taesd_decoded").Data)
	t.Logf("decoded %.2g relative L2", l2)
	assert.Less(t, l2, 5e-5)
}
