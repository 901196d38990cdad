package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func TestApplyGuidance(t *testing.T) {
	negative, positive := []float32{1, 2, -1}, []float32{2, 2, 0.5}
	applyGuidance(negative, positive, 5)
	assert.Equal(t, []float32{6, 2, 6.5}, negative)
}

func TestRescaleGuidance(t *testing.T) {
	// By hand: std([1 2 3 4]) = 1.290994, std([2 4 6 8]) = 2.581989, so the factor is 1/2.
	positive := []float32{1, 2, 3, 4}
	guided := []float32{2, 4, 6, 8}
	rescaleGuidance(guided, positive, 1)
	assert.InDeltaSlice(t, []float32{1, 2, 3, 4}, guided, 1e-6)
	guided = []float32{2, 4, 6, 8}
	rescaleGuidance(guided, positive, 0.5)
	assert.InDeltaSlice(t, []float32{1.5, 3, 4.5, 6}, guided, 1e-6)
	flat := []float32{3, 3, 3, 3}
	rescaleGuidance(flat, positive, 1)
	assert.Equal(t, []float32{3, 3, 3, 3}, flat, "nothing to rescale is left alone")
	assert.InDelta(t, 1.2909944, deviation([]float32{1, 2, 3, 4}), 1e-6)
	assert.Zero(t, deviation([]float32{5}))
}

func TestPictureOfRoundsAsNumPy(t *testing.T) {
	// 0.5/255 and 1.5/255 lie between two values: half to even gives 0 and 2.
	at := func(v float64) float32 { return float32(v/255*2 - 1) }
	img, bad := pictureOf([]float32{at(0.5), at(1.5), at(2.5), -9, 9, float32(math.NaN()), at(127), at(200), at(255), at(0), at(1), float32(math.Inf(1))}, 4, 1)
	assert.Equal(t, 2, bad)
	var got []uint8
	for c := range 3 {
		for x := range 4 {
			got = append(got, img.Pix[4*x+c])
		}
	}
	assert.Equal(t, []uint8{0, 255, 0}, []uint8{got[3], got[4], got[5]})
	assert.Equal(t, []uint8{127, 200, 255, 0, 1, 0}, got[6:])
	assert.Contains(t, []uint8{0, 1}, got[0])
}

// TestPixelsSurvive sends every value of a channel to [-1, 1] and back.
func TestPixelsSurvive(t *testing.T) {
	img := image.NewNRGBA(image.Rect(10, 10, 266, 11))
	for x := range 256 {
		img.SetNRGBA(10+x, 10, color.NRGBA{uint8(x), uint8(255 - x), 7, uint8(x)})
	}
	pixels := pixelsOf(img, 256, 1)
	back, bad := pictureOf(pixels.Data, 256, 1)
	assert.Zero(t, bad)
	for x := range 256 {
		want := color.NRGBA{uint8(x), uint8(255 - x), 7, 255}
		if x == 0 {
			want = back.NRGBAAt(0, 0) // a wholly transparent pixel has no colour
		}
		assert.Equal(t, want, back.NRGBAAt(x, 0))
	}
}

func TestResizingAndMasks(t *testing.T) {
	flat := image.NewNRGBA(image.Rect(0, 0, 37, 53))
	for i := range flat.Pix {
		flat.Pix[i] = 200
	}
	for i, v := range pixelsOf(flat, 64, 48).Data {
		require.InDelta(t, 200.0/255*2-1, v, 1e-6, i)
	}
	mask := maskOf(rightHalf(32, 24), 64, 48)
	assert.Zero(t, mask[0])
	assert.Equal(t, float32(1), mask[63])
	small := shrinkMask(mask, 64, 48, 8)
	assert.Equal(t, []float32{0, 0, 0, 0, 1, 1, 1, 1}, small[:8])
	assert.Len(t, small, 48)
	grey := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range grey.Pix {
		grey.Pix[i] = uint8(127 + i%2)
	}
	cut := maskOf(grey, 8, 8)
	assert.Equal(t, []float32{0, 1}, cut[:2], "cut at one half: 127 below, 128 above")
}

func TestScaleLatents(t *testing.T) {
	s := sdxlSettings()
	x := []float32{1, -2, 4, 8}
	s.scaleLatents(x, 2)
	assert.InDeltaSlice(t, []float32{0.13025, -0.2605, 0.521, 1.042}, x, 1e-6)
	s.unscaleLatents(x, 2)
	assert.InDeltaSlice(t, []float32{1, -2, 4, 8}, x, 1e-6)
	s.latentsMean, s.latentsStd = []float64{1, 2}, []float64{2, 4}
	s.scaleLatents(x, 2)
	assert.InDeltaSlice(t, []float32{0, -3 * 0.13025 / 2, 2 * 0.13025 / 4, 6 * 0.13025 / 4}, x, 1e-6)
	s.unscaleLatents(x, 2)
	assert.InDeltaSlice(t, []float32{1, -2, 4, 8}, x, 1e-6)
}

func TestSettingsFromTheModelsFiles(t *testing.T) {
	plan := openPlan{settings: sdxlSettings()}
	log := slog.New(slog.DiscardHandler)
	guidance := 4.0
	require.NoError(t, plan.adopt("model", modelfile.Config{
		UNet: modelfile.UNetConfig{NormNumGroups: 4, HeadDim: 32, SampleSize: 16}, VAE: modelfile.VAEConfig{NormNumGroups: 2, ScalingFactor: 0.6},
		Scheduler: modelfile.SchedulerConfig{PredictionType: "v_prediction", TimestepSpacing: "trailing",
			Raw: map[string]any{"_class_name": "EulerDiscreteScheduler", "prediction_type": "v_prediction", "timestep_spacing": "trailing", "steps_offset": json.Number("0")}},
		TextEncoder:              modelfile.TextEncoderConfig{HiddenAct: "gelu", HeadDim: 16},
		Default:                  modelfile.DefaultConfig{NumInferenceSteps: 12, GuidanceScale: &guidance},
		ForceZerosForEmptyPrompt: new(false),
	}, log))
	require.NoError(t, plan.adopt("vae", modelfile.Config{VAE: modelfile.VAEConfig{ScalingFactor: 0.7}, UNet: modelfile.UNetConfig{SampleSize: 99}}, log))
	require.NoError(t, plan.adopt("text_encoder_2", modelfile.Config{TextEncoder: modelfile.TextEncoderConfig{HiddenAct: "quick_gelu"}}, log))
	assert.Equal(t, backend.Hyper{UNetNormNumGroups: 4, VAENormNumGroups: 2, UNetAttentionHeadDim: 32, TextHeadDim: 16,
		TextEncoderAct: "gelu", TextEncoder2Act: "quick_gelu"}, plan.model.Hyper)
	s := plan.settings
	s.adopt(backend.ModelInfo{VAE: backend.VAEInfo{Downscale: 8}, ZeroTerminalSNR: true})
	assert.Equal(t, []any{0.7, 128, 128, 12, 4.0, false}, []any{s.scalingFactor, s.width, s.height, s.steps, s.guidance, s.forceZeros})
	assert.Equal(t, []any{"v_prediction", "trailing", 0, true},
		[]any{s.scheduler.PredictionType, s.scheduler.TimestepSpacing, *s.scheduler.StepsOffset, *s.scheduler.RescaleBetasZeroSNR})
	assert.Equal(t, 0.012, *s.scheduler.BetaEnd, "what is not stated is SDXL's")

	require.ErrorIs(t, plan.adopt("model", modelfile.Config{Scheduler: modelfile.SchedulerConfig{EDM: true}}, log), ErrUnsupportedModel)
}

func TestCheckKind(t *testing.T) {
	good := openFake(t, &fake.Backend{}).Info()
	require.NoError(t, checkKind(good))
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
		err := checkKind(info)
		require.ErrorIs(t, err, ErrUnsupportedModel, want)
		assert.ErrorContains(t, err, want)
	}
}

func TestOpenChecksItsConfigAndFiles(t *testing.T) {
	_, err := Open(t.Context(), Config{Model: "x", Precision: "f64", Threads: -1, Type: "q9"}, WithBackend(&fake.Backend{}))
	require.ErrorIs(t, err, request.ErrInvalid)
	var errs request.Errors
	require.ErrorAs(t, err, &errs)
	assert.Len(t, errs, 3)
	_, err = planOpen(t.Context(), "model", Config{}, false, slog.New(slog.DiscardHandler))
	assert.ErrorContains(t, err, "model.model: is missing")
	path := filepath.Join(t.TempDir(), "model.safetensors")
	_, err = planOpen(t.Context(), "model", Config{Model: path}, false, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, modelfile.ErrNotFound)
	require.NoError(t, os.WriteFile(path, []byte("hello, I am a text"), 0o600))
	_, err = planOpen(t.Context(), "model", Config{Model: path}, false, slog.New(slog.DiscardHandler))
	require.Error(t, err)
	assert.ErrorContains(t, err, path)
}

func TestConfigRoundTrip(t *testing.T) {
	m := request.Model{Model: "a", UNet: "b", TextEncoder: "c", TextEncoder2: "d", VAE: "e", Device: "f", TextDevice: "g", VAEDevice: "h",
		Precision: "i", Type: "j", UNetType: "k", TextType: "l", VAEType: "m", VAETiling: "on", VAETileSize: 512, VAETileOverlap: 0.3, VAESlicing: "off", Refiner: "n", RefinerType: "o", RefinerOnDemand: new(true), ControlNetCacheMB: 5, TAESD: "r", FastDecode: new(true), ControlNetDirectories: []string{"q"}, Threads: 1, FlashAttention: "n",
		Embeddings: []string{"o"}, EmbeddingDirectories: []string{"p"}}
	assert.Equal(t, m, ConfigOf(m).model())
	assert.Equal(t, []float64{vae.MinTileSize, vae.MaxTileSize, vae.MaxOverlap}, []float64{request.MinVAETile, request.MaxSide, request.MaxVAETileOverlap})
	assert.Len(t, request.Precisions, len(backend.Precisions))
	for i, p := range backend.Precisions {
		assert.Equal(t, request.Precisions[i], string(p))
	}
	assert.Len(t, request.Types, len(backend.Types))
	for i, p := range backend.Types {
		assert.Equal(t, request.Types[i], string(p))
	}
}

func TestPrepare(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	r, err := p.Prepare(request.Request{Prompt: "x", Seed: request.RandomSeed})
	require.NoError(t, err)
	assert.GreaterOrEqual(t, r.Seed, int64(0))
	assert.Equal(t, []any{1024, 1024, 1, 30, 5.0, "EulerDiscrete", 1, "cpu", "auto", true},
		[]any{r.Width, r.Height, r.NumImages, r.NumInferenceSteps, r.GuidanceScale, r.Scheduler, r.MaxBatch, r.RNG, r.GuidanceBatch, *r.ForceZerosForEmptyPrompt})
	assert.Equal(t, request.Size{Height: 1024, Width: 1024}, r.NegativeTargetSize)
	again, err := p.Prepare(r)
	require.NoError(t, err)
	assert.Equal(t, r, again)

	_, err = p.Prepare(request.Request{Width: 7, Scheduler: "Eluer", SchedulerOptions: map[string]any{"use_karas_sigmas": true}})
	var errs request.Errors
	require.ErrorAs(t, err, &errs)
	assert.ErrorContains(t, err, "width: is 7")
	assert.ErrorContains(t, err, "use_karras_sigmas")
	_, err = p.Prepare(request.Request{Scheduler: "Eluer"})
	assert.ErrorContains(t, err, "scheduler: ")
	_, err = p.Prepare(request.Request{ClipSkip: 2})
	assert.ErrorContains(t, err, "clip_skip: is 2; the text encoders have 3 layers, so at most 1")
	_, err = p.Prepare(request.Request{InitImage: request.Picture{Image: gradient(64, 48)}, NumInferenceSteps: 3, Strength: 0.1})
	assert.ErrorContains(t, err, "strength: 0.1 of 3 steps is none")
	r, err = p.Prepare(request.Request{InitImage: request.Picture{Image: gradient(70, 55)}})
	require.NoError(t, err)
	assert.Equal(t, [2]int{64, 48}, [2]int{r.Width, r.Height})
}

func TestInputFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	var good bytes.Buffer
	require.NoError(t, png.Encode(&good, gradient(64, 48)))
	picture := write("a.png", good.Bytes())
	noise := filepath.Join(dir, "n.npy")
	require.NoError(t, npy.WriteFile(noise, npy.Array{Shape: []int{1, 4, 6, 8}, Data: make([]float32, 192)}))

	p := openFake(t, &fake.Backend{})
	r := request.Request{Prompt: "x", NumInferenceSteps: 4, InitImage: request.Picture{Path: picture}, Noise: request.Array{Path: noise}}
	fromFile := generate(t, p, r)
	m := fromFile.Manifest(fromFile.Images[0])
	assert.Equal(t, []string{"a.png", "n.npy"}, []string{m.InitImage, m.Noise}, "names, not paths")
	r.InitImage, r.Noise = request.Picture{Image: gradient(64, 48)}, request.Array{Shape: []int{4, 6, 8}, Data: make([]float32, 192)}
	assert.Equal(t, fromFile.Images[0].Pix, generate(t, p, r).Images[0].Pix)

	huge := append([]byte(nil), good.Bytes()...)
	copy(huge[16:], []byte{0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff})
	nan := filepath.Join(dir, "nan.npy")
	require.NoError(t, npy.WriteFile(nan, npy.Array{Shape: []int{1}, Data: []float32{float32(math.NaN())}}))
	run := request.Run{Model: request.Model{Model: "nano"}, Jobs: []request.Request{
		{InitImage: request.Picture{Path: picture}},
		{InitImage: request.Picture{Path: write("text.png", []byte("no picture"))}},
		{InitImage: request.Picture{Path: write("cut.png", good.Bytes()[:good.Len()/2])}},
		{InitImage: request.Picture{Path: write("huge.png", huge)}},
		{InitImage: request.Picture{Path: dir}, MaskImage: request.Picture{Path: filepath.Join(dir, "none.png")}},
	}}
	for _, job := range run.Jobs[1:] {
		one := request.Run{Model: run.Model, Jobs: []request.Request{run.Jobs[0], job}}
		err := CheckRun(&one)
		require.ErrorIs(t, err, request.ErrInvalid)
		assert.ErrorContains(t, err, "jobs[1].init_image: ")
		assert.ErrorContains(t, err, job.InitImage.Path)
		assert.NotNil(t, one.Jobs[0].InitImage.Image, "good inputs have been read")
	}
	bad := request.Run{Model: run.Model, Jobs: []request.Request{{Noise: request.Array{Path: nan}}}}
	assert.ErrorContains(t, CheckRun(&bad), "noise: "+nan+": value 0 is NaN")
	bad = request.Run{Model: run.Model, Jobs: []request.Request{{Scheduler: "nonsense", Width: 3}}}
	err := CheckRun(&bad)
	assert.ErrorContains(t, err, "scheduler: ")
	assert.ErrorContains(t, err, "width: is 3")
}

func TestManifest(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	r := small("a red circle")
	r.NumImages = 2
	out := generate(t, p, r)
	m := out.Manifest(out.Images[1])
	assert.Equal(t, int64(8), m.Seed)
	assert.Equal(t, "EulerDiscreteScheduler", m.Scheduler.Name)
	assert.Equal(t, "leading", m.Scheduler.Options["timestep_spacing"])
	data, err := json.Marshal(m)
	require.NoError(t, err)
	assert.Contains(t, string(data), `"prompt":"a red circle"`)
	_, err = out.ModelHash(t.Context())
	require.ErrorIs(t, err, ErrNoHash)
	assert.Equal(t, "sd_xl_base_1.0", ModelName("/some/where/sd_xl_base_1.0.safetensors"))
	assert.Equal(t, "folder.v2", ModelName("/some/folder.v2"))
}

func TestHashFile(t *testing.T) {
	t.Setenv("DAGUERRE_CACHE", t.TempDir())
	path := filepath.Join(t.TempDir(), "m")
	require.NoError(t, os.WriteFile(path, []byte("abc"), 0o600))
	want := sha256.Sum256([]byte("abc"))
	for range 2 {
		sum, err := HashFile(t.Context(), path)
		require.NoError(t, err)
		assert.Equal(t, hex.EncodeToString(want[:]), sum)
	}
	st, err := os.Stat(path)
	require.NoError(t, err)
	cache := hashCachePath(path)
	data, err := os.ReadFile(cache)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cache, bytes.Replace(data, []byte(hex.EncodeToString(want[:4])), []byte("00000000"), 1), 0o600))
	sum, err := HashFile(t.Context(), path)
	require.NoError(t, err)
	assert.Equal(t, "00000000", sum[:8], "the cache is used")
	require.NoError(t, os.Chtimes(path, st.ModTime(), st.ModTime().Add(1)))
	sum, err = HashFile(t.Context(), path)
	require.NoError(t, err)
	assert.Equal(t, hex.EncodeToString(want[:]), sum, "a changed file is read again")
	require.NoError(t, os.WriteFile(cache, []byte("damaged"), 0o600))
	_, err = HashFile(t.Context(), path)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, os.WriteFile(path, []byte("abcd"), 0o600))
	_, err = HashFile(ctx, path)
	require.ErrorIs(t, err, context.Canceled)
}

func TestNotFiniteLatents(t *testing.T) {
	p, s := openSpy(t, &fake.Backend{})
	r := small("x")
	r.Noise = request.Array{Shape: []int{4, 6, 8}, Data: make([]float32, 192)}
	r.Noise.Data[17] = 3e38
	r.NumInferenceSteps = 2
	_, err := p.Generate(t.Context(), r)
	require.ErrorIs(t, err, ErrNotFinite)
	assert.ErrorContains(t, err, "denoise: step 1 of 2")
	assert.Len(t, s.inputs, 1)
}
