//go:build !race

package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// readControlRun is readRun for run_control*.json; files are the nets' by name.
func readControlRun(t *testing.T, name string, files map[string]string) request.Request {
	t.Helper()
	var g struct {
		Nets        []string  `json:"nets"`
		Weights     []float64 `json:"weights"`
		Starts      []float64 `json:"starts"`
		Ends        []float64 `json:"ends"`
		ControlMode string    `json:"control_mode"`
	}
	data, err := os.ReadFile(filepath.Join(goldens, "run_"+name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	_, r := readRun(t, name)
	for i, net := range g.Nets {
		r.ControlNets = append(r.ControlNets, request.ControlNet{Model: files[net], Weight: &g.Weights[i], Start: g.Starts[i], End: g.Ends[i],
			ControlMode: g.ControlMode, Image: request.Picture{Path: filepath.Join(goldens, "input_control_"+net+".png")}})
	}
	return r
}

// TestGoldenControlRuns compares whole runs with StableDiffusionXLControlNetPipeline: one net, two with weights 0.7 and 0.5 over 0 to 0.6
// and 0.2 to 1, and guess mode; with both halves of guidance together and one after the other.
func TestGoldenControlRuns(t *testing.T) {
	t.Parallel()
	files := map[string]string{"one": synthNet(t, synth.KindNanoControl, goldenSeeds["one"], modelfile.LayoutOriginal),
		"two": synthNet(t, synth.KindNanoControl, goldenSeeds["two"], modelfile.LayoutDiffusers)}
	p := openNano(t, backend.PrecisionExact)
	for _, name := range []string{"control", "control_two", "control_guess"} {
		for _, halves := range []string{request.GuidanceJoint, request.GuidanceSeparate} {
			r := readControlRun(t, name, files)
			r.GuidanceBatch = halves
			out := generate(t, p, r)
			l2 := relativeL2(t, out.Images[0].Latents.Data, golden(t, "run_"+name+"_latents").Data)
			t.Logf("%-14s %-8s latents %.2g relative L2", name, halves, l2)
			assert.Less(t, l2, 1e-3, name)
		}
	}
	r := readControlRun(t, "control", files)
	r.ControlNets = nil
	assert.Greater(t, relativeL2(t, generate(t, p, r).Images[0].Latents.Data, golden(t, "run_control_latents").Data), 1e-2,
		"the net has a say")
}

// TestControlRoles names files that are no ControlNet for SDXL, and a ControlNet where something else is wanted.
func TestControlRoles(t *testing.T) {
	net := synthNet(t, synth.KindNanoControl, 1, modelfile.LayoutOriginal)
	_, err := Open(t.Context(), Config{Model: net, Threads: 1})
	require.ErrorIs(t, err, ErrUnsupportedModel)
	require.ErrorContains(t, err, "this is a ControlNet, which goes beside a model")

	dims := modelfile.Preset("nano-controlnet")
	dims.ControlNet.UNet.LabelDim, dims.ControlNet.UNet.ContextDim = 0, 768
	sd1 := filepath.Join(t.TempDir(), "sd1.safetensors")
	require.NoError(t, synth.Write(t.Context(), sd1, synth.Options{Kind: synth.KindNanoControl, Dims: &dims}))
	vae := filepath.Join(t.TempDir(), "vae.safetensors")
	require.NoError(t, synth.Write(t.Context(), vae, synth.Options{Kind: synth.KindVAE}))
	dims = modelfile.Preset("nano-controlnet")
	dims.ControlNet.UNet.Channels = []int{32, 64, 64}
	other := filepath.Join(t.TempDir(), "other.safetensors")
	require.NoError(t, synth.Write(t.Context(), other, synth.Options{Kind: synth.KindNanoControl, Dims: &dims}))
	p := openNano(t, backend.PrecisionExact)
	for file, want := range map[string]string{
		sd1:                        "a ControlNet for Stable Diffusion 1.x",
		vae:                        "this is a file of kind vae; give a ControlNet, a ControlNet-XS or a T2I-Adapter for SDXL",
		other:                      "it is for another model",
		"no-such-net":              "no-such-net is no file, and no ControlNet of that name",
		filepath.Join("..", "doc"): "is no file",
	} {
		r := readControlRun(t, "control", map[string]string{"one": file})
		began := 0
		_, err := p.Generate(t.Context(), r, WithProgress(func(p Progress) { began = max(began, p.Step) }))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "controlnet[0]")
		assert.Zero(t, began, "before any denoising")
	}
}
