//go:build !race

package pipeline

import (
	"image"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// level is one value of a factor: what it changes of a request and of the configuration.
type level struct {
	name string
	set  func(c *Config, r *request.Request)
}

// factor is a feature with what it may be. The first level is without it.
type factor struct {
	name   string
	levels []level
}

// combo is a level of each factor, by its index.
type combo []int

// refusal is a pair of levels that is refused, with what the error names. Levels are factor=level; a factor alone means all levels but the
// first.
type refusal struct {
	a, b string
	says []string
}

// refusals is the table of what cannot be combined. Everything that is not in it works.
var refusals = []refusal{
	{"prompt=and", "guide=none", []string{"AND", "guidance_scale"}},
	{"prompt=and", "interval=part", []string{"AND", "guidance_start"}},
	{"prompt=and", "reuse=tgate", []string{"AND", "reuse.tgate"}},
	{"prompt=and", "change=pag", []string{"AND", "pag"}},
	{"prompt=and", "change=seg", []string{"AND", "seg"}},
	{"prompt=regions", "change=pag", []string{"regions", "pag"}},
	{"prompt=regions", "change=seg", []string{"regions", "seg"}},
	{"prompt=masks", "change=pag", []string{"regions", "pag"}},
	{"prompt=masks", "change=seg", []string{"regions", "seg"}},
	{"prompt=regions", "reuse=tgate", []string{"regions", "reuse.tgate"}},
	{"prompt=masks", "reuse=tgate", []string{"regions", "reuse.tgate"}},
	{"prompt=regions", "start=only_masked", []string{"regions", "inpaint.only_masked"}},
	{"prompt=masks", "start=only_masked", []string{"regions", "inpaint.only_masked"}},
	{"prompt=coupled", "start=only_masked", []string{"regions", "inpaint.only_masked"}},
	{"change=pag", "reuse", []string{"pag", "reuse."}},
	{"change=seg", "reuse", []string{"seg", "reuse."}},
	{"change=freeu", "reuse", []string{"freeu", "reuse."}},
	{"guide=plus_plus", "interval=part", []string{"CFG++", "guidance_start"}},
	{"guide=plus_plus", "reuse=tgate", []string{"CFG++", "reuse.tgate"}},
	{"guide=plus_plus", "reuse=spectrum", []string{"CFG++", "reuse.spectrum"}},
	{"guide=plus_plus", "scheduler=dpm", []string{"cfg_plus_plus", "DPMSolverMultistep"}},
	{"hires", "start=outpaint", []string{"hires", "outpaint"}},
	{"model=nine", "start=text", []string{"inpainting checkpoint", "mask_image"}},
	{"model=nine", "start=img2img", []string{"inpainting checkpoint", "mask_image"}},
	{"memory=stream", "type=q8_0", []string{"stream", "quantized"}},
	{"memory=stream", "type=q4_0", []string{"stream", "quantized"}},
	{"ip=masks", "start=only_masked", []string{"ip_adapter", "inpaint.only_masked"}},
	{"control=xs", "reuse=tgate", []string{"controlnet[0]", "reuse.tgate"}},
	{"tiled", "reuse=deepcache", []string{"tiled_diffusion", "reuse.deepcache"}},
	{"tiled", "reuse=tgate", []string{"tiled_diffusion", "reuse.tgate"}},
	{"tiled", "ip=masks", []string{"tiled_diffusion", "ip_adapter"}},
}

// factors are the features that are combined.
func factors(t *testing.T) []factor {
	t.Helper()
	keep := func(*Config, *request.Request) {}
	on := func(name string, set func(r *request.Request)) level {
		return level{name, func(_ *Config, r *request.Request) { set(r) }}
	}
	held := func(name string) level {
		return level{name, func(c *Config, _ *request.Request) { c.Memory.Strategy = name }}
	}
	typed := func(name string, p backend.Precision, w backend.Type) level {
		return level{name, func(c *Config, _ *request.Request) { c.Precision, c.Type = p, w }}
	}
	shown := request.Picture{Image: gradient(48, 40)}
	area := func(box image.Rectangle, below uint8) request.Picture {
		m := image.NewGray(image.Rect(0, 0, 64, 64))
		for y := range 64 {
			for x := range 64 {
				if m.Pix[64*y+x] = below; image.Pt(x, y).In(box) {
					m.Pix[64*y+x] = 255
				}
			}
		}
		return request.Picture{Image: m}
	}
	mask, soft := area(image.Rect(20, 12, 60, 50), 0), area(image.Rect(20, 12, 60, 50), 90)
	paint := func(r *request.Request, m request.Picture) {
		r.InitImage, r.MaskImage, r.Strength = request.Picture{Image: gradient(64, 64)}, m, 0.9
	}
	refiner, nine := trainedRefiner(t), writeInpaint9(t)
	base, plus, encoder := synthIP(t, "ip-adapter"), synthIP(t, "ip-adapter-plus"), synthIP(t, "image-encoder")
	stripes, sketch := filepath.Join("..", "..", "models", "nano", "nano-lora-stripes.safetensors"), synthNet(t, synth.KindNanoT2I, 21,
		modelfile.LayoutOriginal)
	inside := synthNet(t, synth.KindNanoXSTime, 32, modelfile.LayoutDiffusers)
	adapted := func(kind string) level {
		return on(kind, func(r *request.Request) {
			r.LoRAs = []lora.Adapter{{Path: filepath.Join(goldens, "lora_"+kind+".safetensors")}}
		})
	}
	refine := func(mode string) level {
		return level{mode, func(c *Config, r *request.Request) { c.Refiner, r.RefinerMode, r.RefinerStart = refiner, mode, 0 }}
	}
	control := func(name, net, mode string) level {
		return on(name, func(r *request.Request) {
			r.ControlNets = []request.ControlNet{{Model: net, Image: shown, ControlMode: mode, Weight: new(0.7)}}
		})
	}
	second := func(way string) level {
		return on(way, func(r *request.Request) { r.Hires = request.Hires{Scale: 1.5, Upscaler: way, Strength: 0.6} })
	}
	none := level{"none", keep}
	return []factor{
		{"model", []level{{"nano", keep}, {"nine", func(c *Config, _ *request.Request) { c.Model = nine }}}},
		{"start", []level{{"text", keep},
			on("img2img", func(r *request.Request) { r.InitImage, r.Strength = request.Picture{Image: gradient(64, 64)}, 0.7 }),
			on("inpaint", func(r *request.Request) { paint(r, mask); r.Inpaint.Blur = 3 }),
			on("soft", func(r *request.Request) { paint(r, soft); r.Inpaint.Soft = true }),
			on("only_masked", func(r *request.Request) { paint(r, mask); r.Inpaint.OnlyMasked = true }),
			on("fill", func(r *request.Request) { paint(r, mask); r.Inpaint.Fill = request.FillLatentNoise }),
			on("outpaint", func(r *request.Request) {
				r.InitImage, r.Outpaint, r.Strength = request.Picture{Image: gradient(64, 40)}, request.Outpaint{Bottom: 24}, 0.9
			}),
		}},
		{"prompt", []level{{"plain", keep},
			on("edit", func(r *request.Request) { r.Prompt = "a [red circle:blue square:0.5] on a [white|black] background" }),
			on("and", func(r *request.Request) { r.Prompt = "a red circle AND a blue background :0.6" }),
			on("drawn", func(r *request.Request) { r.Prompt = "a {red|green|blue} circle on a {white|black} background" }),
			on("regions", func(r *request.Request) {
				r.PromptWeight = 0.2
				r.Regions = []request.Region{{Prompt: "a blue [square:star:0.5]", Box: &[4]float64{0, 0, 0.55, 1}, Weight: new(1.5)},
					{Prompt: "a {red|cyan} star", Box: &[4]float64{24, 8, 64, 64}}}
			}),
			on("coupled", func(r *request.Request) {
				r.RegionMode = request.RegionAttention
				r.Regions = []request.Region{{Prompt: "a blue [square:star:0.5]", Box: &[4]float64{0, 0, 0.55, 1}},
					{Prompt: "a {red|cyan} star", Mask: soft, Weight: new(2.0)}}
			}),
			on("masks", func(r *request.Request) {
				r.Regions = []request.Region{{Prompt: "a blue square", Mask: soft}, {Prompt: "a star", Mask: mask}}
			}),
		}},
		{"ip", []level{none,
			on("base", func(r *request.Request) {
				r.IPAdapters = []request.IPAdapter{{Model: base, ImageEncoder: encoder, Images: []request.Picture{shown}, End: 0.8}}
			}),
			on("masks", func(r *request.Request) {
				r.IPAdapters = []request.IPAdapter{{Model: plus, ImageEncoder: encoder, Images: []request.Picture{shown, mask},
					Masks: []request.Picture{mask, soft}, Weight: new(0.6)}}
			}),
		}},
		{"change", []level{none,
			on("pag", func(r *request.Request) { r.PAG.Scale = 2 }),
			on("seg", func(r *request.Request) { r.SEG.Scale, r.SEG.BlurSigma = 2, 1.5 }),
			on("freeu", func(r *request.Request) { r.FreeU = usualFreeU() }),
		}},
		{"guide", []level{{"cfg", keep},
			on("apg", func(r *request.Request) { r.Guidance = request.Guidance{Method: "apg", Momentum: -0.5} }),
			on("zero_star", func(r *request.Request) { r.Guidance.Method = "cfg_zero_star" }),
			on("plus_plus", func(r *request.Request) { r.Guidance.Method, r.GuidanceScale = "cfg_plus_plus", 0.8 }),
			on("none", func(r *request.Request) { r.GuidanceScale = request.NoGuidance }),
			on("rescale", func(r *request.Request) { r.GuidanceRescale = 0.5 }),
		}},
		{"interval", []level{none, on("part", func(r *request.Request) { r.GuidanceStart, r.GuidanceStop = 0.3, new(0.8) })}},
		{"control", []level{none, control("net", nanoControlNet, "balanced"), control("net_one_sided", nanoControlNet, "control"),
			control("xs", inside, "balanced"), control("t2i", sketch, "balanced"), control("t2i_one_sided", sketch, "control"),
			on("both", func(r *request.Request) {
				r.ControlNets = []request.ControlNet{{Model: nanoControlNet, Image: shown}, {Model: sketch, Image: shown, End: 0.6}}
			}),
		}},
		{"lora", []level{none,
			on("one", func(r *request.Request) { r.LoRAs = []lora.Adapter{{Path: stripes}} }),
			on("timed", func(r *request.Request) { r.LoRAs = []lora.Adapter{{Path: stripes, Start: 0.5}} }),
			on("two", func(r *request.Request) {
				r.LoRAs = []lora.Adapter{{Path: stripes}, {Path: filepath.Join(goldens, "lora_kohya.safetensors"), Weight: new(0.2)}}
			}),
			adapted("dora"), adapted("lokr"), adapted("full"),
		}},
		{"tiled", []level{none, on("mixture", func(r *request.Request) {
			r.TiledDiffusion = request.TiledDiffusion{Method: "mixture", TileWidth: 48, TileHeight: 64, Overlap: 16}
		})}},
		{"detail", []level{none, on("box", func(r *request.Request) {
			r.Details = []request.Detail{{Box: &[4]float64{0.25, 0.25, 0.75, 0.75}, Prompt: "a green square", Strength: 0.6}}
		})}},
		{"refiner", []level{none, refine(request.RefinerEnsemble), refine(request.RefinerImg2Img)}},
		{"hires", []level{none, second(request.UpscaleLatent), second(request.UpscalePicture)}},
		{"reuse", []level{none,
			on("deepcache", func(r *request.Request) { r.Reuse.DeepCache = 2 }),
			on("easycache", func(r *request.Request) { r.Reuse.EasyCache = 0.3 }),
			on("ucache", func(r *request.Request) { r.Reuse.UCache = 0.5 }),
			on("spectrum", func(r *request.Request) { r.Reuse.Spectrum = 2 }),
			on("tgate", func(r *request.Request) { r.Reuse.TGate = 3 }),
		}},
		{"scheduler", []level{{"euler", keep},
			on("ancestral", func(r *request.Request) { r.Scheduler = "EulerAncestralDiscrete" }),
			on("dpm", func(r *request.Request) { r.Scheduler = "DPMSolverMultistep" }),
		}},
		{"halves", []level{{"joint", keep}, on("separate", func(r *request.Request) { r.GuidanceBatch = request.GuidanceSeparate })}},
		{"images", []level{on("2", func(r *request.Request) { r.NumImages = 2 }), on("1", func(r *request.Request) { r.NumImages = 1 }),
			on("3", func(r *request.Request) { r.NumImages, r.MaxBatch = 3, 3 }),
			on("4", func(r *request.Request) { r.NumImages, r.MaxBatch = 4, 3 })}},
		{"memory", []level{held(memory.Resident), held(memory.Release), held(memory.Stage), held(memory.Stream), held(memory.Mmap)}},
		{"type", []level{typed("exact", backend.PrecisionExact, ""), typed("f16", backend.PrecisionF16, ""),
			typed("bf16", backend.PrecisionBF16, ""),
			typed("q8_0", backend.PrecisionF16, backend.TypeQ8_0), typed("q4_0", backend.PrecisionF16, backend.TypeQ4_0)}},
	}
}

// has reports whether a combination has a level, or some level of a factor but the first.
func (c combo) has(list []factor, what string) bool {
	for i, f := range list {
		if f.name == what && c[i] > 0 || f.name+"="+f.levels[c[i]].name == what {
			return true
		}
	}
	return false
}

// refused returns the pairs of a combination that are refused.
func (c combo) refused(list []factor) (out []refusal) {
	for _, r := range refusals {
		if c.has(list, r.a) && c.has(list, r.b) {
			out = append(out, r)
		}
	}
	return out
}

// text names what a combination has.
func (c combo) text(list []factor) (out string) {
	for i, f := range list {
		if c[i] > 0 || i == 0 {
			out += f.name + "=" + f.levels[c[i]].name + " "
		}
	}
	return out
}

// pair is a level of each of two factors.
type pair struct{ a, of, b, level int }

// pairsOf lists the pairs of a combination.
func (c combo) pairsOf() (out []pair) {
	for a := range c {
		for b := a + 1; b < len(c); b++ {
			out = append(out, pair{a, c[a], b, c[b]})
		}
	}
	return out
}

// covering draws combinations that work until together they have all pairs of levels.
func covering(list []factor) (rows []combo) {
	rng := rand.New(rand.NewPCG(23, 60))
	left := map[pair]bool{}
	for a := range list {
		for b := a + 1; b < len(list); b++ {
			for x := range list[a].levels {
				for y := range list[b].levels {
					c := make(combo, len(list))
					c[a], c[b] = x, y
					if p := (pair{a, x, b, y}); !slices.ContainsFunc(refusals, func(r refusal) bool { return two(list, p, r) }) {
						left[p] = true
					}
				}
			}
		}
	}
	for len(left) > 0 {
		best, most := combo(nil), -1
		for range 200 {
			c := draw(list, left, rng)
			news := 0
			for _, p := range c.pairsOf() {
				if left[p] {
					news++
				}
			}
			if news > most {
				best, most = c, news
			}
		}
		for _, p := range best.pairsOf() {
			delete(left, p)
		}
		rows = append(rows, best)
	}
	return rows
}

// two reports whether a refusal is about a pair.
func two(list []factor, p pair, r refusal) bool {
	is := func(f, l int, what string) bool {
		return list[f].name == what && l > 0 || list[f].name+"="+list[f].levels[l].name == what
	}
	return is(p.a, p.of, r.a) && is(p.b, p.level, r.b) || is(p.a, p.of, r.b) && is(p.b, p.level, r.a)
}

// draw draws a combination that works, around a pair that is left.
func draw(list []factor, left map[pair]bool, rng *rand.Rand) combo {
	var open []pair
	for p := range left {
		open = append(open, p)
	}
	slices.SortFunc(open, func(x, y pair) int {
		return slices.Compare([]int{x.a, x.of, x.b, x.level}, []int{y.a, y.of, y.b, y.level})
	})
	for {
		c := make(combo, len(list))
		for i, f := range list {
			c[i] = rng.IntN(len(f.levels))
		}
		if len(open) > 0 {
			p := open[rng.IntN(len(open))]
			c[p.a], c[p.b] = p.of, p.level
		}
		if len(c.refused(list)) == 0 {
			return c
		}
	}
}
