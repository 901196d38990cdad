//go:build !race

package pipeline

import (
	"fmt"
	"image"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/modeltest"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// threeSteps is a golden's request of two adapters in three steps.
func threeSteps(t *testing.T, name string) request.Request {
	t.Helper()
	r := readIPRun(t, name, ipFiles(t))
	r.NumInferenceSteps, r.NumImages = 3, 1
	return r
}

// TestIPAdapterPrecisions: F16, BF16 and Q8_0 are within 40 dB of exact.
func TestIPAdapterPrecisions(t *testing.T) {
	r := threeSteps(t, "ip_two")
	want := generate(t, openNano(t, backend.PrecisionExact), r).Images[0]
	eachPrecision(t, func(name string, p *Pipeline) {
		got := generate(t, p, r).Images[0]
		db := psnr(t, want.NRGBA, got.NRGBA)
		t.Logf("%-5s %.1f dB", name, db)
		assert.Greater(t, db, 40.0, name)
	})
}

// TestIPAdapterStrategies: pictures do not depend on how weights are held, bit for bit, and where one component at a time is in memory the
// image encoder and the adapters are freed before denoising.
func TestIPAdapterStrategies(t *testing.T) {
	r := threeSteps(t, "ip_masks")
	var want *image.NRGBA
	for _, strategy := range []string{memory.Resident, memory.Release, memory.Stage, memory.Stream, memory.Mmap} {
		cfg := Config{Model: NanoModel, Device: "cpu", Threads: 1, Precision: backend.PrecisionF16, Memory: request.Memory{Strategy: strategy}}
		p, err := Open(t.Context(), cfg, WithJobs(r))
		require.NoError(t, err, strategy)
		held := map[string]bool{}
		got := generate(t, p, r, WithProgress(func(at Progress) {
			if at.Stage == StageDenoise && at.Step == 1 {
				for _, m := range p.models.Models() {
					for _, c := range m.Info().Components {
						held[c.Name] = held[c.Name] || c.Loaded
					}
				}
			}
		})).Images[0].NRGBA
		require.NoError(t, p.Close())
		if want == nil {
			want = got
		}
		assert.Equal(t, want.Pix, got.Pix, strategy)
		assert.Equal(t, strategy == memory.Resident, held["image_encoder"], strategy)
		assert.Equal(t, strategy == memory.Resident, held["ip_adapter"], strategy)
	}
}

// TestIPAdapterPlan: the plan's buffers and weights of the image encoder, the adapter and the UNet with pictures are what the library
// takes.
func TestIPAdapterPlan(t *testing.T) {
	r := threeSteps(t, "ip_masks")
	cfg := Config{Model: NanoModel, Device: "cpu", Threads: 1, Precision: backend.PrecisionF16}
	plan, err := Plan(t.Context(), cfg, []request.Request{r})
	require.NoError(t, err)
	p, err := Open(t.Context(), cfg, WithJobs(r))
	require.NoError(t, err)
	defer p.Close()
	var unet int64
	generate(t, p, r, WithProgress(func(at Progress) {
		if at.Stage == StageDenoise && at.Step == 1 {
			unet = p.models.Base.MemoryStats().Compute
		}
	}))
	b := plan.Jobs[0].Breakdown
	peaks := map[string]int64{}
	for _, m := range p.models.Models() {
		for _, c := range m.Info().Components {
			stats := m.MemoryStats()
			for _, s := range stats.Components {
				if s.Name == c.Name && c.Opened {
					peaks[c.Name], peaks[c.Name+" weights"] = stats.ComputePeak, s.WeightsPeak
				}
			}
		}
	}
	a := r.IPAdapters[0]
	assert.Equal(t, peaks["image_encoder"], b.Of(memory.StageImage, a.ImageEncoder, memory.ImageEncoder, memory.UseCompute))
	assert.Equal(t, peaks["image_encoder weights"], b.Of(memory.StageImage, a.ImageEncoder, memory.ImageEncoder, memory.UseWeights))
	assert.Equal(t, peaks["ip_adapter weights"], b.Of(memory.StageImage, a.Model, memory.IPAdapter, memory.UseWeights))
	adapter := b.Of(memory.StageImage, a.Model, memory.IPAdapter, memory.UseCompute)
	assert.GreaterOrEqual(t, adapter, peaks["ip_adapter"], "the pictures one by one take less than together")
	assert.Equal(t, unet, b.Of(memory.StageDenoise, memory.OwnerModel, memory.UNet, memory.UseCompute))
}

// TestIPAdapterBatches: pictures of a batch are those of batches of one.
func TestIPAdapterBatches(t *testing.T) {
	r := threeSteps(t, "ip_two")
	r.NumImages = 3
	p := openNano(t, backend.PrecisionExact)
	together := generate(t, p, r)
	for i := range together.Images {
		one := r
		one.NumImages, one.Seed = 1, r.Seed+int64(i)
		l2 := relativeL2(t, together.Images[i].Latents.Data, generate(t, p, one).Images[0].Latents.Data)
		assert.Less(t, l2, 1e-5, "picture %d", i)
	}
}

// TestIPAdapterMistakes: each kind of bad input is an error that names the key, before a weight of an adapter is read.
func TestIPAdapterMistakes(t *testing.T) {
	files := ipFiles(t)
	dir := t.TempDir()
	write := func(kind synth.Kind, edit func(d *modelfile.Dims)) string {
		dims := modelfile.Preset(string(kind))
		edit(&dims)
		path := filepath.Join(t.TempDir(), string(kind)+".safetensors")
		require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: kind, Dims: &dims}))
		return path
	}
	array := func(name string, shape ...int) string {
		path := filepath.Join(dir, name)
		require.NoError(t, npy.WriteFile(path, npy.Array{Shape: shape, Data: make([]float32, backend.Count(shape...))}))
		return path
	}
	sd15 := write(synth.KindNanoIP, func(d *modelfile.Dims) { d.IPAdapter.ContextDim = 768 })
	sixteen := write(synth.KindNanoIP, func(d *modelfile.Dims) { d.IPAdapter.Layers = make([]int, 16); fillWith(d.IPAdapter.Layers, 64) })
	other := write(synth.KindNanoIP, func(d *modelfile.Dims) { d.IPAdapter.Layers = d.IPAdapter.Layers[:9] })
	wide := write(synth.KindNanoImage, func(d *modelfile.Dims) { d.ImageEncoder.Width, d.ImageEncoder.ProjectionDim = 128, 96 })
	bare := write(synth.KindNanoImage, func(d *modelfile.Dims) { d.ImageEncoder.ProjectionDim = 0 })
	shown := request.Picture{Path: filepath.Join(goldens, "input_ip_one.png")}
	base, plus, face := files["ip-adapter"], files["ip-adapter-plus"], files["ip-adapter-faceid"]
	good := request.IPAdapter{Model: base, ImageEncoder: files["image-encoder"], Images: []request.Picture{shown}}
	p := openNano(t, backend.PrecisionExact)
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	live := b.LiveModels()
	for name, c := range map[string]struct {
		edit func(a *request.IPAdapter)
		says string
	}{
		"SD 1.5":              {func(a *request.IPAdapter) { a.Model = sd15 }, "an IP-Adapter for Stable Diffusion 1.x"},
		"SD 1.5 by its count": {func(a *request.IPAdapter) { a.Model = sixteen }, "an IP-Adapter for Stable Diffusion 1.x (16 attentions"},
		"another model": {func(a *request.IPAdapter) { a.Model = other },
			"is for 9 attentions and tokens of 128 channels, the model's UNet has 11"},
		"no adapter": {func(a *request.IPAdapter) { a.Model = files["image-encoder"] }, "this is CLIP's image encoder"},
		"no file":    {func(a *request.IPAdapter) { a.Model = "nowhere" }, "nowhere is no file, and no IP-Adapter of that name"},
		"no encoder": {func(a *request.IPAdapter) { a.ImageEncoder = "" }, "image_encoder: is missing"},
		"wrong encoder": {func(a *request.IPAdapter) { a.ImageEncoder = wide },
			"embeddings have a width of 96, and the IP-Adapter takes 48"},
		"wrong encoder, Plus": {func(a *request.IPAdapter) { a.Model, a.ImageEncoder = plus, wide }, "hidden states have a width of 128"},
		"no projection":       {func(a *request.IPAdapter) { a.ImageEncoder = bare }, "it has no projection"},
		"encoder is adapter":  {func(a *request.IPAdapter) { a.ImageEncoder = base }, "this is an IP-Adapter"},
		"no picture":          {func(a *request.IPAdapter) { a.Images = nil }, "images: are missing"},
		"no such picture":     {func(a *request.IPAdapter) { a.Images[0].Path = "nowhere.png" }, "images[0]: "},
		"two sources":         {func(a *request.IPAdapter) { a.Embeds.Path = array("e.npy", 2, 1, 48) }, "embeds: are given beside images"},
		"embeds' width": {func(a *request.IPAdapter) { a.Images, a.Embeds.Path = nil, array("w.npy", 2, 1, 64) },
			"have shape [2 1 64]; this adapter takes [2, pictures, 48]"},
		"no negative half": {func(a *request.IPAdapter) { a.Model, a.Images, a.Embeds.Path = plus, nil, array("n.npy", 1, 1, 17, 64) },
			"have no negative half"},
		"faces of no face": {func(a *request.IPAdapter) { a.Faces.Path = array("f.npy", 1, 32) }, "this is no FaceID adapter"},
		"no faces":         {func(a *request.IPAdapter) { a.Model = face }, "takes embeddings of faces only"},
		"wrong faces": {func(a *request.IPAdapter) { a.Model, a.Images, a.Faces.Path = face, nil, array("g.npy", 1, 512) },
			"expected [faces, 32]"},
		"pictures of faces": {func(a *request.IPAdapter) {
			a.Model, a.Faces.Path = files["ip-adapter-faceid-plus"], array("h.npy", 2, 32)
		}, "1 for 2 faces"},
		"masks": {func(a *request.IPAdapter) { a.Masks = []request.Picture{shown, shown} }, "masks: there are 2 for 1 images"},
		"a part": {func(a *request.IPAdapter) { a.BlockWeights = map[string]any{"sideways": 1.0} },
			"block_weights.sideways: is no part of a UNet"},
		"a block": {func(a *request.IPAdapter) { a.BlockWeights = map[string]any{"up": map[string]any{"block_7": 1.0}} },
			"block_weights.up.block_7: is no block with attention; there are block_0, block_1"},
		"too many weights": {func(a *request.IPAdapter) {
			a.BlockWeights = map[string]any{"up": map[string]any{"block_1": []any{1.0, 2.0}}}
		},
			"block_weights.up.block_1: has another number of weights"},
		"no number": {func(a *request.IPAdapter) { a.BlockWeights = map[string]any{"mid": "much"} }, "block_weights.mid: is the string"},
		"never":     {func(a *request.IPAdapter) { a.Start, a.End = 0.5, 0.5 }, "would never act"},
		"weight":    {func(a *request.IPAdapter) { a.Weight = new(11.0) }, "weight"},
		"shortcut":  {func(a *request.IPAdapter) { a.Shortcut = new(1.0) }, "this is no FaceID Plus adapter"},
	} {
		a := good
		a.Images = []request.Picture{shown}
		c.edit(&a)
		_, err := p.Generate(t.Context(), request.Request{Prompt: "x", NumInferenceSteps: 1, Width: 64, Height: 64,
			IPAdapters: []request.IPAdapter{a}})
		var errs request.Errors
		if assert.ErrorAs(t, err, &errs, name) {
			assert.ErrorContains(t, err, "ip_adapter[0].", name)
			assert.ErrorContains(t, err, c.says, name)
		}
		assert.Equal(t, live, b.LiveModels(), name)
	}
}

// TestFaceIDLoRA: the LoRA in a FaceID file does the same as the IP-Adapter alone with a file of that LoRA under diffusers' names. With
// weight 0 neither acts.
func TestFaceIDLoRA(t *testing.T) {
	face := synthIP(t, "ip-adapter-faceid")
	const in, rank = 64, 4
	matrix := func(name string, seed, rows, columns int) modeltest.Tensor {
		values := make([]float32, rows*columns)
		for i := range values {
			values[i] = float32((i*7+seed)%11-5) / 40
		}
		return modeltest.Floats(name, modelfile.F32, []int64{int64(rows), int64(columns)}, values...)
	}
	inside, beside := []modeltest.Tensor{}, []modeltest.Tensor{}
	// the first transformer of the way down: numbers 0 and 1; the last of the way up: 18 and 19
	for number, module := range map[int]string{0: "down_blocks.1.attentions.0.transformer_blocks.0.attn1",
		1: "down_blocks.1.attentions.0.transformer_blocks.0.attn2", 18: "up_blocks.1.attentions.2.transformer_blocks.0.attn1"} {
		for k, layer := range []string{"to_q", "to_out"} {
			outer := map[string]string{"to_q": "to_q", "to_out": "to_out.0"}[layer]
			for end, size := range map[string][2]int{"down": {rank, in}, "up": {in, rank}} {
				seed := number + k + size[0]
				inside = append(inside, matrix(fmt.Sprintf("ip_adapter.%d.%s_lora.%s.weight", number, layer, end), seed, size[0], size[1]))
				beside = append(beside, matrix(fmt.Sprintf("unet.%s.%s.lora.%s.weight", module, outer, end), seed, size[0], size[1]))
			}
		}
	}
	whole := modeltest.Read(t, face).With(inside...).Write(t, "faceid.safetensors")
	own := (&modeltest.File{}).With(beside...).Write(t, "lora.safetensors")
	p := openNano(t, backend.PrecisionExact)
	r := threeSteps(t, "ip_face")
	r.IPAdapters[0].Model = whole
	got := generate(t, p, r)
	require.Len(t, got.LoRAs, 1)
	r.IPAdapters[0].Model, r.LoRAs = face, []lora.Adapter{{Path: own}}
	want := allLatents(generate(t, p, r))
	assert.Equal(t, want, allLatents(got))
	r.LoRAs = nil
	assert.Greater(t, relativeL2(t, allLatents(generate(t, p, r)), want), 1e-3, "the LoRA acts")
	r.IPAdapters[0].Model, r.IPAdapters[0].Weight = whole, new(0.0)
	none := allLatents(generate(t, p, r))
	r.IPAdapters = nil
	assert.Equal(t, allLatents(generate(t, p, r)), none)
}

func fillWith(list []int, n int) {
	for i := range list {
		list[i] = n
	}
}
