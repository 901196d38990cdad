//go:build !race

package pipeline

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/convert"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/modeltest"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

const unetPrefix = "model.diffusion_model."

func nanoTensors(t *testing.T) *modeltest.File {
	t.Helper()
	path, err := nano.Path(t.Context())
	require.NoError(t, err)
	return modeltest.Read(t, path)
}

// stripped is nano without the scheduler and the scaling of latents that its metadata names: as strangers' files are.
func stripped(t *testing.T) *modeltest.File {
	t.Helper()
	f := nanoTensors(t)
	f.Metadata = map[string]string{modelfile.MetadataKey: `{"unet":{"norm_num_groups":4},"vae":{"norm_num_groups":2}}`}
	return f
}

// converted is a file after `models convert`.
func converted(t *testing.T, in, name string, to modelfile.DType) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	_, err := convert.Convert(t.Context(), in, out, convert.Options{Type: to})
	require.NoError(t, err)
	return out
}

// unetFolder writes a UNet as diffusers does, with the config that goes with it.
func unetFolder(t *testing.T, f *modeltest.File, config string) string {
	t.Helper()
	path := f.Write(t, "whole.safetensors")
	c, err := modelfile.OpenAll(path)
	require.NoError(t, err)
	defer c.Close()
	out := &modeltest.File{}
	for i, x := range c.Tensors {
		if x.Component == "unet" && x.Specified {
			y := f.Tensors[i]
			require.Equal(t, x.Name, y.Name)
			y.Name = x.Canonical[0].Name[len("unet."):]
			out.Tensors = append(out.Tensors, y)
		}
	}
	dir := filepath.Join(t.TempDir(), "unet")
	out.WriteTo(t, filepath.Join(dir, "diffusion_pytorch_model.safetensors"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600))
	return dir
}

// goldenLatents runs a golden run's request with the model's own scheduler and compares latents with diffusers'.
func goldenLatents(t *testing.T, cfg Config, name, scheduler string) *Result {
	t.Helper()
	cfg.Precision, cfg.Threads = backend.PrecisionExact, 1
	p, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	assert.Zero(t, p.Info().UnusedTensors, p.Info().UnusedExample)
	_, r := readRun(t, name)
	r.Scheduler = scheduler
	out := generate(t, p, r)
	l2 := relativeL2(t, out.Images[0].Latents.Data, golden(t, "run_"+name+"_latents").Data)
	t.Logf("%-12s latents %.2g relative L2", name, l2)
	assert.Less(t, l2, 1e-4)
	assert.Empty(t, out.Warnings)
	return out
}

// TestGoldenTold compares a UNet that is told the guidance scale (LCM-SDXL's) with diffusers, in every form of file that it comes in. The
// scheduler is the one that such a UNet gets by itself.
func TestGoldenTold(t *testing.T) {
	base := stripped(t)
	whole := base.With(modeltest.GuidanceProjection(unetPrefix + "time_embedding.cond_proj.weight"))
	single := whole.Write(t, "lcm.safetensors")
	config := `{"_class_name":"UNet2DConditionModel","norm_num_groups":4,"time_cond_proj_dim":256}`
	for name, cfg := range map[string]Config{
		"single file": {Model: single},
		"other name":  {Model: base.With(modeltest.GuidanceProjection(unetPrefix+"time_embed.cond_proj.weight")).Write(t, "lcm.safetensors")},
		"UNet alone":  {Model: NanoModel, UNet: whole.Under(unetPrefix, "").Write(t, "unet.safetensors")},
		"folder":      {Model: NanoModel, UNet: unetFolder(t, whole, config)},
		"converted":   {Model: converted(t, single, "lcm.gguf", modelfile.F16)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, run := range []string{"lcm_1", "lcm_8"} {
				out := goldenLatents(t, cfg, run, "")
				assert.Equal(t, 4, out.Timings.Steps)
			}
		})
	}
}

// TestToldIsMeasured: what a plan counts for such a UNet is what it takes, and its weights are all counted. It needs a scale for each row.
func TestToldIsMeasured(t *testing.T) {
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	file := stripped(t).With(modeltest.GuidanceProjection(unetPrefix+"time_embedding.cond_proj.weight")).Write(t, "lcm.safetensors")
	m, err := b.Open(t.Context(), backend.ModelConfig{Files: backend.Files{Model: file}, Precision: backend.PrecisionExact, Threads: 1,
		Hyper: backend.Hyper{UNetNormNumGroups: 4, VAENormNumGroups: 2}})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	u := m.Info().UNet
	assert.Equal(t, 256, u.GuidanceDim)
	plain := openNano(t, backend.PrecisionExact).Info()
	assert.Zero(t, plain.UNet.GuidanceDim)
	assert.EqualValues(t, 32*256*4, m.Info().Components[2].ParameterBytes-plain.Components[2].ParameterBytes)
	in := backend.UNetInput{Sample: backend.NewTensor(2, u.InChannels, 8, 8), Timesteps: []float32{1, 1}, Guidance: []float32{1, 8},
		Context: backend.NewTensor(2, 77, u.ContextDim), Pooled: backend.NewTensor(2, u.PooledDim), SizeIDs: backend.NewTensor(2, u.SizeIDs)}
	out := make([]float32, 2*u.OutChannels*64)
	require.NoError(t, m.UNet(t.Context(), in, out))
	assert.NotEqual(t, out[:len(out)/2], out[len(out)/2:], "rows that differ in their scale only")
	planned, err := m.ComputeBytes(backend.ComputeQuery{Stage: backend.StageUNet, Batch: 2, Height: 8, Width: 8, ContextTokens: 77, Texts: 1})
	require.NoError(t, err)
	assert.Equal(t, planned, m.MemoryStats().Compute)
	in.Guidance = []float32{1}
	require.ErrorIs(t, m.UNet(t.Context(), in, out), backend.ErrArgument)
}

// TestToldDefaults: without a word, such a UNet is run as LCM-SDXL is. What has no meaning for it is said.
func TestToldDefaults(t *testing.T) {
	whole := nanoTensors(t).With(modeltest.GuidanceProjection(unetPrefix + "time_embedding.cond_proj.weight"))
	whole.Metadata = nil // which names nano's own scheduler
	config := `{"_class_name":"UNet2DConditionModel","norm_num_groups":4}`
	p, err := Open(t.Context(), Config{Model: NanoModel, UNet: unetFolder(t, whole, config), Precision: backend.PrecisionExact, Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	_, r := readRun(t, "lcm_8")
	r.Scheduler, r.NumInferenceSteps, r.GuidanceScale = "", 0, 0
	out := generate(t, p, r)
	assert.Equal(t, "LCMScheduler", out.Scheduler.Name)
	assert.Empty(t, out.Warnings)

	r.Scheduler, r.NegativePrompt, r.GuidanceRescale = "EulerDiscrete", "blurry", 0.5
	out = generate(t, p, r)
	require.Len(t, out.Warnings, 3)
	assert.Contains(t, out.Warnings[0], "EulerDiscrete may not fit")
	assert.Contains(t, out.Warnings[1], "negative prompt does nothing")
	assert.Contains(t, out.Warnings[2], "guidance_rescale does nothing")
}

// TestToldRefuses: a configuration that speaks of an embedding which the weights do not have.
func TestToldRefuses(t *testing.T) {
	config := `{"_class_name":"UNet2DConditionModel","norm_num_groups":4,"time_cond_proj_dim":256}`
	_, err := Open(t.Context(), Config{Model: NanoModel, UNet: unetFolder(t, nanoTensors(t), config)})
	require.ErrorIs(t, err, modelfile.ErrTensor)
	require.ErrorContains(t, err, "time_embedding.cond_proj.weight")
}

// markers of the goldens' files, as Playground v2.5 and CosXL carry them.
func playgroundMarkers() []modeltest.Tensor {
	shape := []int64{1, 4, 1, 1}
	return []modeltest.Tensor{modeltest.Floats("edm_mean", modelfile.F32, shape, -1.6574, 1.886, -1.383, 2.5155),
		modeltest.Floats("edm_std", modelfile.F32, shape, 8.4927, 5.9022, 6.5498, 5.2299)}
}

func cosXLMarkers() []modeltest.Tensor {
	return []modeltest.Tensor{modeltest.Floats("edm_vpred.sigma_max", modelfile.F32, nil, 120),
		modeltest.Floats("edm_vpred.sigma_min", modelfile.F32, nil, 0.002)}
}

// TestGoldenMarkers compares files whose marker tensors speak of EDM's preconditioning with diffusers: Playground v2.5 and CosXL, whole, as
// a UNet alone, and converted.
func TestGoldenMarkers(t *testing.T) {
	for name, markers := range map[string][]modeltest.Tensor{"playground": playgroundMarkers(), "cosxl": cosXLMarkers()} {
		whole := stripped(t).With(markers...)
		single := whole.Write(t, name+".safetensors")
		alone := whole.Under(unetPrefix, "").With(markers...)
		for form, cfg := range map[string]Config{
			"single file":       {Model: single},
			"converted to GGUF": {Model: converted(t, single, name+".gguf", modelfile.F16)},
			"converted twice":   {Model: converted(t, converted(t, single, name+".gguf", modelfile.F16), name+".safetensors", modelfile.F16)},
			"UNet alone":        {Model: stripped(t).Write(t, "base.safetensors"), UNet: alone.Write(t, "unet.safetensors")},
		} {
			t.Run(name+" "+form, func(t *testing.T) {
				out := goldenLatents(t, cfg, name, "")
				if name == "playground" {
					_, r := readRun(t, name)
					db := psnr(t, out.Images[0].NRGBA, goldenPicture(t, name, r))
					assert.GreaterOrEqual(t, db, 60.0)
				}
			})
		}
	}
}

// TestMarkersRefuse: a scheduler that knows nothing of the preconditioning makes another picture of such a model.
func TestMarkersRefuse(t *testing.T) {
	p, err := Open(t.Context(), Config{Model: stripped(t).With(playgroundMarkers()...).Write(t, "playground.safetensors"), Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	_, r := readRun(t, "playground")
	r.Scheduler = "DPM++ 2M Karras"
	_, err = p.Generate(t.Context(), r)
	require.ErrorContains(t, err, "scheduler: DPM++ 2M Karras does not fit this model")
	require.ErrorContains(t, err, "EDMEuler")
}
