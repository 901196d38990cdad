package models

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

func TestScaleLatents(t *testing.T) {
	s := SDXLSettings()
	x := []float32{1, -2, 4, 8}
	s.ScaleLatents(x, 2)
	assert.InDeltaSlice(t, []float32{0.13025, -0.2605, 0.521, 1.042}, x, 1e-6)
	s.UnscaleLatents(x, 2)
	assert.InDeltaSlice(t, []float32{1, -2, 4, 8}, x, 1e-6)
	s.LatentsMean, s.LatentsStd = []float64{1, 2}, []float64{2, 4}
	s.ScaleLatents(x, 2)
	assert.InDeltaSlice(t, []float32{0, -3 * 0.13025 / 2, 2 * 0.13025 / 4, 6 * 0.13025 / 4}, x, 1e-6)
	s.UnscaleLatents(x, 2)
	assert.InDeltaSlice(t, []float32{1, -2, 4, 8}, x, 1e-6)
}

func TestSettingsFromTheModelsFiles(t *testing.T) {
	plan := Opening{Settings: SDXLSettings()}
	adopt := func(role string, c modelfile.Config) error {
		_, err := plan.adopt(role, modelfile.Report{Config: c})
		return err
	}
	guidance := 4.0
	require.NoError(t, adopt("model", modelfile.Config{
		UNet: modelfile.UNetConfig{NormNumGroups: 4, HeadDim: 32, SampleSize: 16}, VAE: modelfile.VAEConfig{NormNumGroups: 2, ScalingFactor: 0.6},
		Scheduler: modelfile.SchedulerConfig{PredictionType: "v_prediction", TimestepSpacing: "trailing",
			Raw: map[string]any{"_class_name": "EulerDiscreteScheduler", "prediction_type": "v_prediction", "timestep_spacing": "trailing",
				"steps_offset": json.Number("0")}},
		TextEncoder:              modelfile.TextEncoderConfig{HiddenAct: "gelu", HeadDim: 16},
		Default:                  modelfile.DefaultConfig{NumInferenceSteps: 12, GuidanceScale: &guidance},
		ForceZerosForEmptyPrompt: new(false),
	}))
	require.NoError(t, adopt("vae", modelfile.Config{VAE: modelfile.VAEConfig{ScalingFactor: 0.7},
		UNet: modelfile.UNetConfig{SampleSize: 99}}))
	require.NoError(t, adopt("text_encoder_2", modelfile.Config{TextEncoder: modelfile.TextEncoderConfig{HiddenAct: "quick_gelu"}}))
	assert.Equal(t, backend.Hyper{UNetNormNumGroups: 4, VAENormNumGroups: 2, UNetAttentionHeadDim: 32, TextHeadDim: 16,
		TextEncoderAct: "gelu", TextEncoder2Act: "quick_gelu"}, plan.Config.Hyper)
	s := plan.Settings
	s.Adopt(backend.ModelInfo{VAE: backend.VAEInfo{Downscale: 8}, ZeroTerminalSNR: true})
	assert.Equal(t, []any{0.7, 128, 128, 12, 4.0, false}, []any{s.ScalingFactor, s.Width, s.Height, s.Steps, s.Guidance, s.ForceZeros})
	assert.Equal(t, []any{"v_prediction", "trailing", 0, true},
		[]any{s.Scheduler.PredictionType, s.Scheduler.TimestepSpacing, *s.Scheduler.StepsOffset, *s.Scheduler.RescaleBetasZeroSNR})
	assert.Equal(t, 0.012, *s.Scheduler.BetaEnd, "what is not stated is SDXL's")

	require.ErrorIs(t, adopt("model", modelfile.Config{Scheduler: modelfile.SchedulerConfig{EDM: true}}), ErrUnsupported)
}

func TestCheckKind(t *testing.T) {
	m, err := (&fake.Backend{}).Open(t.Context(), backend.ModelConfig{})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	good := m.Info()
	require.NoError(t, CheckBase(good, ""))
	for want, change := range map[string]func(*backend.ModelInfo){
		"refiner":                     func(i *backend.ModelInfo) { i.Kind = backend.KindSDXLRefiner },
		`kind "vae" makes no picture`: func(i *backend.ModelInfo) { i.Kind = backend.KindVAE },
		"give one as vae":             func(i *backend.ModelInfo) { i.Components[4].Opened = false },
		"give one as text_encoder_2":  func(i *backend.ModelInfo) { i.Components[1].Opened = false },
		"5 size ids":                  func(i *backend.ModelInfo) { i.UNet.SizeIDs = 5 },
		"do not belong together":      func(i *backend.ModelInfo) { i.TextEncoder.Width = 9 },
		"projects to 3":               func(i *backend.ModelInfo) { i.TextEncoder2.ProjectionDim = 3 },
	} {
		info := good
		info.Components = slices.Clone(good.Components)
		change(&info)
		err := CheckBase(info, "m.safetensors")
		require.ErrorIs(t, err, ErrUnsupported, want)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "m.safetensors: ")
	}
}

func TestCheckTAESD(t *testing.T) {
	require.ErrorContains(t, checkTAESD(backend.ModelInfo{Kind: backend.KindVAE}, backend.ModelInfo{}), "no decoder of a TAESD")
	tiny := backend.ModelInfo{Kind: backend.KindTAESD, Components: []backend.ComponentInfo{{Name: "vae_decoder", Opened: true}},
		VAE: backend.VAEInfo{LatentChannels: 16, Downscale: 8}}
	model := backend.ModelInfo{VAE: backend.VAEInfo{LatentChannels: 4, Downscale: 8}}
	require.ErrorContains(t, checkTAESD(tiny, model), "it decodes latents of 16 channels")
	tiny.VAE.LatentChannels = 4
	require.NoError(t, checkTAESD(tiny, model))
}

// A TAESD's encoder alone makes no pictures; its report tells.
func TestCheckReportOfATinyEncoder(t *testing.T) {
	r := modelfile.Report{Path: "t.safetensors", Kind: modelfile.KindTAESD,
		Dims: modelfile.Dims{TAESD: &modelfile.TAESDDims{EncoderBlocks: []int{1}}}}
	err := checkReport("taesd", r)
	require.ErrorIs(t, err, ErrUnsupported)
	assert.ErrorContains(t, err, "t.safetensors")
	assert.ErrorContains(t, err, "no decoder")
	r.Dims.TAESD.DecoderBlocks = []int{1}
	require.NoError(t, checkReport("taesd", r))
}

// TestCheckRefiner: one scheduler runs model and refiner, so that both must predict the same.
func TestCheckRefiner(t *testing.T) {
	opening := func(c modelfile.SchedulerConfig) Opening {
		o := Opening{Settings: SDXLSettings(), Paths: []string{"r.safetensors"}}
		warning, err := o.adopt("refiner", modelfile.Report{Config: modelfile.Config{Scheduler: c}})
		require.NoError(t, err)
		require.Empty(t, warning)
		return o
	}
	none, eps := opening(modelfile.SchedulerConfig{}), opening(modelfile.SchedulerConfig{PredictionType: "epsilon"})
	v := opening(modelfile.SchedulerConfig{PredictionType: "v_prediction"})
	edm := opening(modelfile.SchedulerConfig{EDM: true, Raw: map[string]any{"_class_name": "EDMEulerScheduler"}})
	for _, pair := range [][2]Opening{{none, none}, {none, eps}, {eps, none}, {v, v}, {edm, edm}} {
		warning, err := CheckRefiner(pair[0], pair[1])
		require.NoError(t, err)
		assert.Empty(t, warning)
	}
	warning, err := CheckRefiner(v, none)
	require.NoError(t, err)
	assert.Equal(t, "r.safetensors: the refiner's files do not say what it predicts; the model's prediction, v_prediction, is used", warning)
	for says, pair := range map[string][2]Opening{"it predicts epsilon, the model v_prediction": {v, eps},
		"it predicts v_prediction, the model epsilon": {none, v}, "only one of model and refiner has EDM's preconditioning": {edm, none}} {
		_, err := CheckRefiner(pair[0], pair[1])
		require.ErrorIs(t, err, ErrUnsupported)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, "r.safetensors")
	}
}

// TestWhatFilesSayIsWarnedOf: what a file says of its UNet and is not done, and what it does not say although the model's did.
func TestWhatFilesSayIsWarnedOf(t *testing.T) {
	said := func(values map[string]any) modelfile.Config {
		return modelfile.Config{Scheduler: modelfile.SchedulerConfig{Raw: values}}
	}
	edm := said(map[string]any{"_class_name": "EDMEulerScheduler"})
	for name, test := range map[string]struct {
		base, unet modelfile.Config
		guidance   int
		want       string
	}{
		"an unknown scheduler":        {unet: said(map[string]any{"_class_name": "SomeScheduler"}), want: "SomeScheduler, is not known"},
		"an unknown option":           {unet: said(map[string]any{"prediction_type": 3}), want: "options are not all understood"},
		"plain over EDM":              {base: edm, want: "does not say that it has it too. It is run with EDMEuler"},
		"plain over plain":            {},
		"EDM over EDM":                {base: edm, unet: edm},
		"EDM over plain":              {unet: edm},
		"another scheduler over EDM":  {base: edm, unet: said(map[string]any{"_class_name": "EulerDiscreteScheduler"})},
		"told its guidance, over EDM": {base: edm, guidance: 256},
	} {
		o := Opening{Settings: SDXLSettings()}
		warning, err := o.adopt("model", modelfile.Report{Config: test.base})
		require.NoError(t, err, name)
		require.Empty(t, warning, name)
		warning, err = o.adopt("unet", modelfile.Report{Config: test.unet,
			Dims: modelfile.Dims{UNet: &modelfile.UNetDims{GuidanceDim: test.guidance}}})
		require.NoError(t, err, name)
		if test.want == "" {
			assert.Empty(t, warning, name)
		}
		assert.Contains(t, warning, test.want, name)
	}
}
