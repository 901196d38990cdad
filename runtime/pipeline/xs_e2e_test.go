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

	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// xsFiles writes the nets of tools/goldens/xs.py, the ControlNet that takes part beside one, and a T2I-Adapter.
func xsFiles(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{"plain": synthNet(t, synth.KindNanoXS, 31, modelfile.LayoutOriginal),
		"time":    synthNet(t, synth.KindNanoXSTime, 32, modelfile.LayoutDiffusers),
		"control": synthNet(t, synth.KindNanoControl, goldenSeeds["two"], modelfile.LayoutDiffusers),
		"t2i":     synthNet(t, synth.KindNanoT2I, 21, modelfile.LayoutDiffusers)}
}

// readXSRun is readRun for run_xs*.json.
func readXSRun(t *testing.T, name string, files map[string]string) request.Request {
	t.Helper()
	var g struct {
		Net                string
		Weight, Start, End float64
		Control            *struct {
			Net    string
			Weight float64
		}
	}
	data, err := os.ReadFile(filepath.Join(goldens, "run_"+name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	_, r := readRun(t, name)
	shown := func(name string) request.Picture {
		return request.Picture{Path: filepath.Join(goldens, "input_control_"+name+".png")}
	}
	r.ControlNets = []request.ControlNet{{Model: files[g.Net], Weight: &g.Weight, Start: g.Start, End: g.End, Image: shown("one"),
		ResizeMode: "stretch"}}
	if c := g.Control; c != nil {
		r.ControlNets = append(r.ControlNets, request.ControlNet{Model: files["control"], Weight: &c.Weight, Image: shown(c.Net)})
	}
	return r
}

// TestGoldenXS compares embedded pictures, and the UNet with a net inside, with diffusers, whose fused UNet has another norm_eps.
func TestGoldenXS(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	files := xsFiles(t)
	for name, channels := range map[string]int{"plain": 16, "time": 10} {
		net, err := p.models.ControlNet(t.Context(), files[name], identity.ID{})
		require.NoError(t, err)
		info := net.Value.Info
		require.Equal(t, backend.ControlInfo{HintChannels: 3, HintDownscale: 8, XSChannels: channels}, info.Control)
		require.Equal(t, p.models.Base.Info.UNet.Channels, info.UNet.Channels)
		hint, err := net.Value.EncodeHint(t.Context(), controlPixels(t, "one"))
		require.NoError(t, err)
		l2 := relativeL2(t, hint.Data, golden(t, "xs_"+name+"_hint").Data)
		t.Logf("%-5s hint %.2g relative L2", name, l2)
		assert.Less(t, l2, 5e-5)

		in := goldenUNetInput(t)
		out := make([]float32, len(in.Sample.Data))
		require.NoError(t, p.models.Base.UNet(t.Context(), in, out))
		assert.Greater(t, relativeL2(t, out, golden(t, "xs_"+name+"_out").Data), 1e-3, "the net has a say")
		in.XS = backend.XS{Net: net.Value.Model, Hint: hint, Scale: 0.8}
		require.NoError(t, p.models.Base.UNet(t.Context(), in, out))
		l2 = relativeL2(t, out, golden(t, "xs_"+name+"_out").Data)
		raw := relativeL2(t, out, golden(t, "xs_"+name+"_raw").Data)
		t.Logf("%-5s UNet %.2g relative L2; with the norm_eps of diffusers' fused UNet %.2g", name, l2, raw)
		assert.Less(t, l2, 5e-5)
		assert.Less(t, raw, 1e-3)
		require.NoError(t, net.Release())
	}
}

// TestGoldenXSRuns compares whole runs with StableDiffusionXLControlNetXSPipeline: over all steps and over some, with a time embedding of
// its own, a picture that is no square, and beside a ControlNet; that one also with the halves of guidance one after the other.
func TestGoldenXSRuns(t *testing.T) {
	files := xsFiles(t)
	p := openNano(t, backend.PrecisionExact)
	for _, name := range []string{"xs", "xs_part", "xs_time", "xs_wide", "xs_beside"} {
		for _, halves := range []string{request.GuidanceJoint, request.GuidanceSeparate} {
			if halves == request.GuidanceSeparate && name != "xs_beside" {
				continue
			}
			r := readXSRun(t, name, files)
			r.GuidanceBatch = halves
			l2 := relativeL2(t, generate(t, p, r).Images[0].Latents.Data, golden(t, "run_"+name+"_latents").Data)
			t.Logf("%-10s %-8s latents %.2g relative L2", name, halves, l2)
			assert.Less(t, l2, 1e-3, name)
		}
	}
}

// TestXSPrecisions: F16, BF16 and Q8_0 are within 40 dB of exact.
func TestXSPrecisions(t *testing.T) {
	files := xsFiles(t)
	for _, run := range []string{"xs", "xs_time"} {
		r := readXSRun(t, run, files)
		r.NumInferenceSteps = 3
		want := generate(t, openNano(t, backend.PrecisionExact), r).Images[0]
		eachPrecision(t, func(name string, p *Pipeline) {
			got := generate(t, p, r).Images[0]
			db := psnr(t, want.NRGBA, got.NRGBA)
			t.Logf("%-7s %-5s %.1f dB", run, name, db)
			assert.Greater(t, db, 40.0, name)
		})
	}
}

// TestXSWays: with every way of making pictures that a job can ask for, the net has a say, pictures of a batch are those of batches of one,
// and the halves of guidance may be evaluated together or not. A weight of 0 makes the plain picture, bit for bit.
func TestXSWays(t *testing.T) {
	t.Parallel()
	files := xsFiles(t)
	p := openNano(t, backend.PrecisionExact)
	picture := request.Picture{Path: filepath.Join(goldens, "input_picture.png")}
	mask := request.Picture{Path: filepath.Join(goldens, "input_mask.png")}
	none := 0.0
	for name, edit := range map[string]func(r *request.Request){
		"text":     func(*request.Request) {},
		"odd size": func(r *request.Request) { r.Width, r.Height = 56, 72 },
		"img2img":  func(r *request.Request) { r.InitImage, r.Strength = picture, 0.9 },
		"inpaint":  func(r *request.Request) { r.InitImage, r.MaskImage, r.Strength = picture, mask, 0.9 },
		"hires":    func(r *request.Request) { r.Hires = request.Hires{Scale: 1.5, Strength: 0.6} },
		"deep":     func(r *request.Request) { r.Reuse = request.Reuse{DeepCache: 2} },
		"pag":      func(r *request.Request) { r.PAG.Scale = 2 },
		"freeu": func(r *request.Request) {
			r.FreeU = request.FreeU{B1: new(1.3), B2: new(1.4), S1: new(0.9), S2: new(0.2)}
		},
		"tiles": func(r *request.Request) {
			r.TiledDiffusion = request.TiledDiffusion{Method: "multidiffusion", TileWidth: 48, TileHeight: 48, Overlap: 16}
		},
		"an adapter": func(r *request.Request) {
			r.ControlNets = append(r.ControlNets, request.ControlNet{Model: files["t2i"], Image: r.ControlNets[0].Image})
		},
		"a LoRA": func(r *request.Request) {
			r.LoRAs = []lora.Adapter{{Path: filepath.Join("..", "..", "models", "nano", "nano-lora-stripes.safetensors")}}
		},
		"a ControlNet": func(r *request.Request) {
			r.ControlNets = append(r.ControlNets, readXSRun(t, "xs_beside", files).ControlNets[1])
		},
	} {
		r := readXSRun(t, "xs_time", files)
		r.NumInferenceSteps, r.NumImages, r.Width, r.Height = 2, 2, 64, 64
		edit(&r)
		together := generate(t, p, r)
		for i := range together.Images {
			one := r
			one.NumImages, one.Seed, one.GuidanceBatch = 1, r.Seed+int64(i), request.GuidanceSeparate
			l2 := relativeL2(t, together.Images[i].Latents.Data, generate(t, p, one).Images[0].Latents.Data)
			assert.Less(t, l2, 1e-5, "%s: picture %d", name, i)
		}
		without, off := r, r
		without.ControlNets = r.ControlNets[1:]
		off.ControlNets = append([]request.ControlNet{r.ControlNets[0]}, r.ControlNets[1:]...)
		off.ControlNets[0].Weight = &none
		plain := generate(t, p, without)
		assert.Greater(t, relativeL2(t, plain.Images[0].Latents.Data, together.Images[0].Latents.Data), 1e-3, name)
		assert.Equal(t, plain.Images[0].NRGBA.Pix, generate(t, p, off).Images[0].NRGBA.Pix, "%s: weight 0", name)
	}
}

// TestXSStrategies: pictures do not depend on how weights are held, bit for bit; and the plan's figures are what the library takes.
func TestXSStrategies(t *testing.T) {
	r := readXSRun(t, "xs_beside", xsFiles(t))
	r.NumInferenceSteps, r.Width, r.Height = 2, 64, 64
	var want *image.NRGBA
	for _, strategy := range []string{memory.Resident, memory.Release, memory.Stage, memory.Stream, memory.Mmap} {
		cfg := Config{Model: NanoModel, Device: "cpu", Threads: 1, Precision: backend.PrecisionF16, Memory: request.Memory{Strategy: strategy}}
		p, err := Open(t.Context(), cfg, WithJobs(r))
		require.NoError(t, err, strategy)
		got := generate(t, p, r).Images[0].NRGBA
		again := generate(t, p, r).Images[0].NRGBA // its weights were freed in between, but where they stay
		assert.Equal(t, got.Pix, again.Pix, strategy)
		plan, err := Plan(t.Context(), cfg, []request.Request{r})
		require.NoError(t, err)
		for _, m := range p.models.Models() {
			b, net := plan.Jobs[0].Breakdown, r.ControlNets[0].Model
			if m.Info().Control.IsXS() {
				assert.Equal(t, m.MemoryStats().ComputePeak, b.Of(memory.StageControl, net, memory.ControlNet, memory.UseCompute), strategy)
				assert.Zero(t, b.Of(memory.StageDenoise, net, memory.ControlNet, memory.UseCompute), "its graph is the UNet's")
				if strategy != memory.Mmap {
					assert.Equal(t, weightsOf(m), b.Of(memory.StageDenoise, net, memory.ControlNet, memory.UseWeights), strategy)
				}
			}
		}
		require.NoError(t, p.Close())
		if want == nil {
			want = got
		}
		assert.Equal(t, want.Pix, got.Pix, strategy)
	}
}

// TestPlannedXS: the plan's buffer of the UNet is the one that it takes with the net inside, byte for byte, and larger than without.
func TestPlannedXS(t *testing.T) {
	files := xsFiles(t)
	r := readXSRun(t, "xs", files)
	r.Width, r.Height, r.NumInferenceSteps = 64, 64, 3
	plain, two, deep, other := r, r, r, readXSRun(t, "xs_time", files)
	plain.ControlNets, two.NumImages, deep.Reuse = nil, 2, request.Reuse{DeepCache: 2}
	other.Width, other.Height, other.NumInferenceSteps = 64, 96, 3
	jobs := []request.Request{plain, r, two, deep, other}
	for _, precision := range []backend.Precision{backend.PrecisionExact, backend.PrecisionAuto} {
		cfg := Config{Model: NanoModel, Device: "cpu", Precision: precision, Threads: 1}
		plan, err := Plan(t.Context(), cfg, jobs)
		require.NoError(t, err)
		p, err := Open(t.Context(), cfg)
		require.NoError(t, err)
		sizes := make([]int64, len(jobs))
		for i, job := range jobs {
			sizes[i] = plannedOf(plan.Jobs[i].Breakdown, []memory.Use{memory.UseCompute}, memory.StageDenoise)
			taken := &held{model: p.models.Base.Model}
			generate(t, p, job, WithProgress(taken.look))
			assert.Equal(t, sizes[i], taken.steps.ComputePeak, "%s, job %d", precision, i)
		}
		require.NoError(t, p.Close())
		t.Logf("%s: %d", precision, sizes)
		assert.Greater(t, sizes[1], sizes[0])
	}
}

// TestXSMistakes: what cannot be is an error that names the file and what to do, before a weight is read.
func TestXSMistakes(t *testing.T) {
	files := xsFiles(t)
	write := func(edit func(x *modelfile.ControlXSDims, c *modelfile.ControlXSConfig)) string {
		dims, config := modelfile.Preset("nano-controlnet-xs"), modelfile.Config{}
		config.ControlXS = modelfile.ControlXSConfig{Heads: []int{1, 2, 2}, MaxNormNumGroups: 4}
		edit(dims.ControlNet.XS, &config.ControlXS)
		path := filepath.Join(t.TempDir(), "xs.safetensors")
		require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: synth.KindNanoXS, Dims: &dims, Config: &config}))
		return path
	}
	type dims = modelfile.ControlXSDims
	type config = modelfile.ControlXSConfig
	p := openNano(t, backend.PrecisionExact)
	check := func(name, file string, edit func(r *request.Request), says ...string) {
		t.Helper()
		r := readXSRun(t, "xs", map[string]string{"plain": file})
		edit(&r)
		began := 0
		_, err := p.Generate(t.Context(), r, WithProgress(func(p Progress) { began = max(began, p.Step) }))
		for _, text := range says {
			require.ErrorContains(t, err, text, name)
		}
		assert.Zero(t, began, name)
	}
	for _, c := range []struct {
		name string
		edit func(x *dims, c *config)
		says []string
	}{
		{"SD 1.5", func(x *dims, _ *config) { x.ContextDim = 768 }, []string{"controlnet[0]", "for Stable Diffusion 1.x", "use one for SDXL"}},
		{"SD 2.1", func(x *dims, _ *config) { x.ContextDim = 1024 }, []string{"controlnet[0]", "for Stable Diffusion 2.x", "use one for SDXL"}},
		{"another UNet", func(x *dims, _ *config) { x.Base = []int{32, 64, 64} },
			[]string{"controlnet[0].model", "levels of [32 64 64] channels", "the model's has [32 64 128]", "use one for this model"}},
		{"other texts", func(x *dims, _ *config) { x.ContextDim = 64 },
			[]string{"controlnet[0].model", "texts of 64 values a token, and the model's have 128"}},
		{"no heads", func(_ *dims, c *config) { c.Heads = nil },
			[]string{"num_attention_heads", "the weights do not tell it", "put the ControlNet-XS's config.json beside the file"}},
		{"too many heads", func(_ *dims, c *config) { c.Heads = []int{1, 2, 7} },
			[]string{"num_attention_heads", "7 heads on level 2, and the file has attentions of 64 channels there"}},
		{"heads of other levels", func(_ *dims, c *config) { c.Heads = []int{1, 2} }, []string{"2 numbers for 3 levels"}},
		{"nothing to mix", func(_ *dims, c *config) { c.TimeEmbeddingMix = new(0.5) },
			[]string{"time_embedding_mix", "the file has no time embedding to mix"}},
		{"learning", func(_ *dims, c *config) { c.LearnTime = new(true) },
			[]string{"learn_time_embedding", "true, and of the file it is false"}},
	} {
		check(c.name, write(c.edit), func(*request.Request) {}, c.says...)
	}
	for _, c := range []struct {
		name string
		edit func(r *request.Request)
		says []string
	}{
		{"two", func(r *request.Request) { r.ControlNets = append(r.ControlNets, r.ControlNets[0]) },
			[]string{"controlnet[1].model", "only one can run inside the UNet"}},
		{"prompt", func(r *request.Request) { r.ControlNets[0].ControlMode = "prompt" }, []string{"controlnet[0].control_mode", "leave it out"}},
		{"control", func(r *request.Request) { r.ControlNets[0].ControlMode = "control" },
			[]string{"controlnet[0].control_mode", "leave it out"}},
		{"union", func(r *request.Request) { r.ControlNets[0].UnionType = "depth" }, []string{"controlnet[0].union_type", "no Union net"}},
		{"joined", func(r *request.Request) { r.ControlNets[0].UnionJoined = true }, []string{"controlnet[0].union_joined", "no Union net"}},
		{"T-GATE", func(r *request.Request) { r.Reuse.TGate = 2 }, []string{"reuse.tgate", "use deepcache or easycache"}},
	} {
		check(c.name, files["plain"], c.edit, c.says...)
	}
	_, err := Open(t.Context(), Config{Model: files["plain"], Threads: 1})
	require.ErrorContains(t, err, "this is a ControlNet-XS, which goes beside a model as a ControlNet does")
}

// TestXSFolder: a diffusers folder says in config.json what its weights do not, and makes the picture of a file that says it itself.
func TestXSFolder(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "diffusion_pytorch_model.safetensors")
	require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: synth.KindNanoXSTime, Seed: 32, Config: &modelfile.Config{}}))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "config.json"), []byte(`{"_class_name": "ControlNetXSAdapter",
		"base_block_out_channels": [32, 64, 128], "block_out_channels": [10, 18, 42], "conditioning_channel_order": "bgr",
		"learn_time_embedding": true, "max_norm_num_groups": 4, "num_attention_heads": [1, 3, 4], "time_embedding_mix": 0.6}`), 0o600))
	p := openNano(t, backend.PrecisionExact)
	r := readXSRun(t, "xs_time", xsFiles(t))
	r.NumInferenceSteps, r.Width, r.Height = 1, 64, 64
	want := generate(t, p, r).Images[0].Latents.Data
	for _, name := range []string{folder, path} {
		r.ControlNets[0].Model = name
		assert.Equal(t, want, generate(t, p, r).Images[0].Latents.Data, name)
	}
}
