//go:build !race

package pipeline

import (
	"encoding/json"
	"image"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// t2iFiles writes the adapters of tools/goldens/t2i.py, in both layouts, and the ControlNet that takes part beside one.
func t2iFiles(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{"one": synthNet(t, synth.KindNanoT2I, 21, modelfile.LayoutOriginal),
		"two":     synthNet(t, synth.KindNanoT2I, 22, modelfile.LayoutDiffusers),
		"control": synthNet(t, synth.KindNanoControl, goldenSeeds["two"], modelfile.LayoutDiffusers)}
}

// readT2IRun is readRun for run_t2i*.json.
func readT2IRun(t *testing.T, name string, files map[string]string) request.Request {
	t.Helper()
	var g struct {
		Nets     []string  `json:"nets"`
		Weights  []float64 `json:"weights"`
		End      float64   `json:"end"`
		Pictures []string  `json:"pictures"`
		Control  *struct {
			Net    string  `json:"net"`
			Weight float64 `json:"weight"`
		} `json:"control"`
	}
	data, err := os.ReadFile(filepath.Join(goldens, "run_"+name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	_, r := readRun(t, name)
	if g.Pictures == nil {
		g.Pictures = g.Nets
	}
	shown := func(name string) request.Picture {
		return request.Picture{Path: filepath.Join(goldens, "input_control_"+name+".png")}
	}
	for i, net := range g.Nets {
		r.ControlNets = append(r.ControlNets, request.ControlNet{Model: files[net], Weight: &g.Weights[i], End: g.End,
			Image: shown(g.Pictures[i])})
	}
	if c := g.Control; c != nil {
		r.ControlNets = append(r.ControlNets, request.ControlNet{Model: files["control"], Weight: &c.Weight, Image: shown(c.Net)})
	}
	return r
}

// TestGoldenT2IAdapter compares features, and a UNet with features, with diffusers, from files of both layouts.
func TestGoldenT2IAdapter(t *testing.T) {
	for _, layout := range []modelfile.Layout{modelfile.LayoutOriginal, modelfile.LayoutDiffusers} {
		m := openNet(t, backend.Files{ControlNet: synthNet(t, synth.KindNanoT2I, 21, layout)})
		require.Equal(t, backend.ControlInfo{HintChannels: 3, HintDownscale: 16, FeatureChannels: []int{32, 64, 128, 128},
			FeatureDownscale: []int{16, 16, 32, 32}}, m.Info().Control)
		features, err := m.EncodeHint(t.Context(), controlPixels(t, "one"))
		require.NoError(t, err)
		l2 := relativeL2(t, features.Data, golden(t, "t2i_features").Data)
		t.Logf("%-9s features %.2g relative L2", layout, l2)
		assert.Less(t, l2, 5e-5)
		wide, err := m.EncodeHint(t.Context(), controlPixels(t, "wide"))
		require.NoError(t, err)
		l2 = relativeL2(t, wide.Data, golden(t, "t2i_features_wide").Data)
		t.Logf("%-9s features of 144 x 112 px %.2g relative L2", layout, l2)
		assert.Less(t, l2, 5e-5)

		in := goldenUNetInput(t)
		p := openNano(t, backend.PrecisionExact)
		out := make([]float32, len(in.Sample.Data))
		require.NoError(t, p.models.Base.UNet(t.Context(), in, out))
		assert.Greater(t, relativeL2(t, out, golden(t, "t2i_unet_out").Data), 1e-3, "the features have a say")
		in.Blocks, in.BlockRows = features.Data, 1
		require.NoError(t, p.models.Base.UNet(t.Context(), in, out))
		l2 = relativeL2(t, out, golden(t, "t2i_unet_out").Data)
		t.Logf("%-9s UNet with features %.2g relative L2", layout, l2)
		assert.Less(t, l2, 5e-5)
	}
}

// TestGoldenT2IRuns compares whole runs with StableDiffusionXLAdapterPipeline: one adapter, two over 0.6 of the steps, a size that is not a
// multiple of 32, and one beside a ControlNet; that one also with the halves of guidance one after the other.
func TestGoldenT2IRuns(t *testing.T) {
	files := t2iFiles(t)
	p := openNano(t, backend.PrecisionExact)
	for _, name := range []string{"t2i", "t2i_half", "t2i_two", "t2i_wide", "t2i_control"} {
		for _, halves := range []string{request.GuidanceJoint, request.GuidanceSeparate} {
			if halves == request.GuidanceSeparate && name != "t2i_control" {
				continue
			}
			r := readT2IRun(t, name, files)
			r.GuidanceBatch = halves
			l2 := relativeL2(t, generate(t, p, r).Images[0].Latents.Data, golden(t, "run_"+name+"_latents").Data)
			t.Logf("%-12s %-8s latents %.2g relative L2", name, halves, l2)
			assert.Less(t, l2, 1e-3, name)
		}
	}
	r := readT2IRun(t, "t2i", files)
	r.ControlNets = nil
	assert.Greater(t, relativeL2(t, generate(t, p, r).Images[0].Latents.Data, golden(t, "run_t2i_latents").Data), 1e-2,
		"the adapter has a say")
}

// TestT2IPrecisions: F16, BF16 and Q8_0 are within 40 dB of exact.
func TestT2IPrecisions(t *testing.T) {
	r := readT2IRun(t, "t2i_two", t2iFiles(t))
	r.NumInferenceSteps = 3
	want := generate(t, openNano(t, backend.PrecisionExact), r).Images[0]
	eachPrecision(t, func(name string, p *Pipeline) {
		got := generate(t, p, r).Images[0]
		db := psnr(t, want.NRGBA, got.NRGBA)
		t.Logf("%-5s %.1f dB", name, db)
		assert.Greater(t, db, 40.0, name)
	})
}

// TestT2IWays: with every way of making pictures that a job can ask for, the adapter has a say, pictures of a batch are those of batches
// of one, and the halves of guidance may be evaluated together or not.
func TestT2IWays(t *testing.T) {
	t.Parallel()
	files := t2iFiles(t)
	p := openNano(t, backend.PrecisionExact)
	picture := request.Picture{Path: filepath.Join(goldens, "input_picture.png")}
	mask := request.Picture{Path: filepath.Join(goldens, "input_mask.png")}
	for name, edit := range map[string]func(r *request.Request){
		"text":     func(*request.Request) {},
		"odd size": func(r *request.Request) { r.Width, r.Height = 120, 136 },
		"img2img":  func(r *request.Request) { r.InitImage, r.Strength = picture, 0.7 },
		"inpaint":  func(r *request.Request) { r.InitImage, r.MaskImage, r.Strength = picture, mask, 0.9 },
		"hires":    func(r *request.Request) { r.Hires = request.Hires{Scale: 1.5, Strength: 0.6} },
		"prompt":   func(r *request.Request) { r.ControlNets[0].ControlMode = "prompt" },
		"control":  func(r *request.Request) { r.ControlNets[0].ControlMode = "control" },
		"deep":     func(r *request.Request) { r.Reuse = request.Reuse{DeepCache: 2} },
		"pag":      func(r *request.Request) { r.PAG.Scale = 2 },
		"beside a ControlNet on the positive half": func(r *request.Request) {
			r.ControlNets[0].ControlMode = "control"
			r.ControlNets = append(r.ControlNets, readT2IRun(t, "t2i_control", files).ControlNets[1])
		},
	} {
		r := readT2IRun(t, "t2i_two", files)
		r.NumInferenceSteps, r.NumImages = 2, 2
		for i := range r.ControlNets {
			r.ControlNets[i].End = 1 // 0.6 of the steps that img2img leaves is none
		}
		edit(&r)
		together := generate(t, p, r)
		for i := range together.Images {
			one := r
			one.NumImages, one.Seed, one.GuidanceBatch = 1, r.Seed+int64(i), request.GuidanceSeparate
			l2 := relativeL2(t, together.Images[i].Latents.Data, generate(t, p, one).Images[0].Latents.Data)
			assert.Less(t, l2, 1e-5, "%s: picture %d", name, i)
		}
		without := r
		without.ControlNets = nil
		assert.Greater(t, relativeL2(t, generate(t, p, without).Images[0].Latents.Data, together.Images[0].Latents.Data), 1e-3, name)
	}
}

// TestT2IStrategies: pictures do not depend on how weights are held, bit for bit; and the plan's figures are what the library takes.
func TestT2IStrategies(t *testing.T) {
	r := readT2IRun(t, "t2i_control", t2iFiles(t))
	r.NumInferenceSteps = 3
	var want *image.NRGBA
	for _, strategy := range []string{memory.Resident, memory.Release, memory.Stage, memory.Stream, memory.Mmap} {
		cfg := Config{Model: NanoModel, Device: "cpu", Threads: 1, Precision: backend.PrecisionF16, Memory: request.Memory{Strategy: strategy}}
		p, err := Open(t.Context(), cfg, WithJobs(r))
		require.NoError(t, err, strategy)
		got := generate(t, p, r).Images[0].NRGBA
		if strategy == memory.Resident {
			plan, err := Plan(t.Context(), cfg, []request.Request{r})
			require.NoError(t, err)
			adapter := r.ControlNets[0].Model
			for _, m := range p.models.Models() {
				if !m.Info().Control.IsT2IAdapter() {
					continue
				}
				b := plan.Jobs[0].Breakdown
				assert.Equal(t, m.MemoryStats().ComputePeak, b.Of(memory.StageControl, adapter, memory.ControlNet, memory.UseCompute))
				assert.Zero(t, b.Of(memory.StageDenoise, adapter, memory.ControlNet, memory.UseCompute), "not computed in the steps")
				assert.Equal(t, weightsOf(m), b.Of(memory.StageControl, adapter, memory.ControlNet, memory.UseWeights))
			}
		}
		require.NoError(t, p.Close())
		if want == nil {
			want = got
		}
		assert.Equal(t, want.Pix, got.Pix, strategy)
	}
}

// weightsOf is what the weights of a model of one component take.
func weightsOf(m backend.Model) (n int64) {
	for _, c := range m.MemoryStats().Components {
		n += c.WeightsPeak
	}
	return n
}

// TestT2IMistakes: an adapter for another model is an error that says so, before a weight is read.
func TestT2IMistakes(t *testing.T) {
	write := func(edit func(a *modelfile.T2IAdapterDims)) string {
		dims := modelfile.Preset("nano-t2i-adapter")
		edit(dims.ControlNet.T2IAdapter)
		path := filepath.Join(t.TempDir(), "adapter.safetensors")
		require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: synth.KindNanoT2I, Dims: &dims}))
		return path
	}
	p := openNano(t, backend.PrecisionExact)
	grey := write(func(a *modelfile.T2IAdapterDims) { a.Picture = 1 })
	for name, c := range map[string]struct {
		path, key, value, says string
	}{
		"another model": {path: write(func(a *modelfile.T2IAdapterDims) { a.Channels = []int{32, 64, 64, 64} }), says: "it is for another model"},
		"union type":    {path: grey, key: "union", says: "the net is no Union net"},
	} {
		r := readT2IRun(t, "t2i", map[string]string{"one": c.path})
		if c.key == "union" {
			r.ControlNets[0].UnionType = "depth"
		}
		began := 0
		_, err := p.Generate(t.Context(), r, WithProgress(func(p Progress) { began = max(began, p.Step) }))
		require.ErrorContains(t, err, c.says, name)
		require.ErrorContains(t, err, "controlnet[0]", name)
		assert.Zero(t, began, name)
	}
	_, err := Open(t.Context(), Config{Model: grey, Threads: 1})
	require.ErrorContains(t, err, "this is a T2I-Adapter, which goes beside a model as a ControlNet does")

	r := readT2IRun(t, "t2i", map[string]string{"one": grey})
	r.NumInferenceSteps = 2
	generate(t, p, r) // an adapter of grey pictures takes a coloured one
}
