//go:build !race

package pipeline

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// oddPicture writes a picture whose sides are no multiples of 8.
func oddPicture(t *testing.T) request.Picture {
	t.Helper()
	path := filepath.Join(t.TempDir(), "odd.png")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, gradient(101, 75)))
	require.NoError(t, f.Close())
	return request.Picture{Path: path}
}

// planCase is a request, what opens the model, and the size that comes out.
type planCase struct {
	open          func(*Config)
	edit          func(*request.Request)
	width, height int
	batches       []int // sizes
}

func planCases(t *testing.T) map[string]planCase {
	odd := oddPicture(t)
	esrgan := synthNet(t, synth.KindESRGAN, 1, modelfile.LayoutOriginal)
	refiner, nine := trainedRefiner(t), writeInpaint9(t)
	stripes := filepath.Join("..", "..", "models", "nano", "nano-lora-stripes.safetensors")
	second := func(way string) func(*request.Request) {
		return func(r *request.Request) { r.Hires = request.Hires{Scale: 1.5, Upscaler: way} }
	}
	held := func(strategy string) func(*Config) { return func(c *Config) { c.Memory.Strategy = strategy } }
	nothing := func(*Config) {}
	two := func(r *request.Request) { r.NumImages = 2 }
	alone := func(r *request.Request) { r.RefinerMode = request.RefinerNone }
	one := []int{1}
	cases := map[string]planCase{
		"plain":           {nothing, func(*request.Request) {}, 64, 64, one},
		"the model's own": {nothing, func(r *request.Request) { r.Width, r.Height = 0, 0 }, 128, 128, one},
		"deepcache": {nothing, func(r *request.Request) {
			r.Width, r.Height, r.Reuse = 128, 128, request.Reuse{DeepCache: 2, Branch: 2}
		}, 128, 128,
			one},
		"tgate":       {nothing, func(r *request.Request) { r.Width, r.Height, r.Reuse.TGate = 128, 128, 1 }, 128, 128, one},
		"odd picture": {nothing, func(r *request.Request) { r.Width, r.Height, r.InitImage = 0, 0, odd }, 96, 72, one},
		"width alone": {nothing, func(r *request.Request) { r.Width, r.Height, r.InitImage = 64, 0, odd }, 64, 72, one},
		"outpainting": {nothing, func(r *request.Request) {
			r.Width, r.Height, r.InitImage, r.Outpaint = 0, 0, odd, request.Outpaint{Left: 32, Bottom: 16}
		}, 128, 88, one},
		"nearest":        {nothing, second(request.UpscaleLatentNearest), 96, 96, one},
		"latent":         {nothing, second(request.UpscaleLatent), 96, 96, one},
		"picture":        {nothing, second(request.UpscalePicture), 96, 96, one},
		"upscaler":       {func(c *Config) { c.Upscaler = esrgan }, second(request.UpscaleModel), 96, 96, one},
		"batches":        {nothing, func(r *request.Request) { r.NumImages, r.MaxBatch = 3, 2 }, 64, 64, []int{2, 1}},
		"auto batches":   {nothing, func(r *request.Request) { r.NumImages = 17 }, 64, 64, []int{9, 8}},
		"model's batch":  {func(c *Config) { c.Memory.MaxBatch = 2 }, func(r *request.Request) { r.NumImages = 3 }, 64, 64, []int{2, 1}},
		"separate":       {nothing, func(r *request.Request) { r.NumImages, r.GuidanceBatch = 2, request.GuidanceSeparate }, 64, 64, []int{2}},
		"cfg++":          {nothing, func(r *request.Request) { r.Scheduler = "euler_cfg_pp" }, 64, 64, one},
		"no guidance":    {nothing, func(r *request.Request) { r.GuidanceScale = request.NoGuidance }, 64, 64, one},
		"long prompt":    {nothing, func(r *request.Request) { r.Prompt = strings.Repeat("red circle ", 60) }, 64, 64, one},
		"VAE together":   {func(c *Config) { c.VAEPolicy.Slicing = "off" }, two, 64, 64, []int{2}},
		"VAE by tiles":   {func(c *Config) { c.VAEPolicy.Tiling = "on" }, two, 64, 64, []int{2}},
		"fast decode":    {func(c *Config) { c.TAESD, c.FastDecode = nanoTAESD, true }, two, 64, 64, []int{2}},
		"previews":       {func(c *Config) { c.TAESD = nanoTAESD }, func(*request.Request) {}, 64, 64, one},
		"refiner":        {func(c *Config) { c.Refiner = refiner }, func(*request.Request) {}, 64, 64, one},
		"no refiner":     {func(c *Config) { c.Refiner = refiner }, alone, 64, 64, one},
		"refiner, hires": {func(c *Config) { c.Refiner, c.RefinerOnDemand = refiner, true }, second(request.UpscaleLatent), 96, 96, one},
		"refiner on demand": {func(c *Config) { c.Refiner, c.RefinerOnDemand = refiner, true },
			func(r *request.Request) { r.NumImages, r.MaxBatch = 2, 1 }, 64, 64, []int{1, 1}},
		"9 channels": {func(c *Config) { c.Model = nine }, func(r *request.Request) {
			r.Width, r.Height, r.InitImage, r.MaskImage = 0, 0, odd, request.Picture{Image: rightHalf(101, 75)}
		}, 96, 72, one},
		"9 channels, outpainting": {func(c *Config) { c.Model = nine }, func(r *request.Request) {
			r.Width, r.Height, r.InitImage, r.Outpaint = 0, 0, odd, request.Outpaint{Right: 24}
		}, 120, 72, one},
		"ControlNets": {nothing, func(r *request.Request) {
			r.ControlNets = []request.ControlNet{{Model: nanoControlNet, Image: odd}}
		}, 64, 64, one},
		"a Union net's pictures at once": {nothing, func(r *request.Request) {
			net := request.ControlNet{Model: synthNet(t, synth.KindNanoUnion, 1, modelfile.LayoutDiffusers), UnionJoined: true, Image: odd}
			r.ControlNets = []request.ControlNet{net, net}
			r.ControlNets[0].UnionType, r.ControlNets[1].UnionType = "openpose", "depth"
		}, 64, 64, one},
		"IP-Adapters": {nothing, func(r *request.Request) {
			r.IPAdapters = []request.IPAdapter{{Model: synthIP(t, "ip-adapter-plus"), ImageEncoder: synthIP(t, "image-encoder"),
				Images: []request.Picture{odd, odd}, Masks: []request.Picture{odd, odd}}}
		}, 64, 64, one},
		"adapters": {nothing, func(r *request.Request) { r.LoRAs = []lora.Adapter{{Path: stripes}} }, 64, 64, one},
	}
	for _, strategy := range []string{memory.Release, memory.Stage, memory.Stream, memory.Mmap} {
		cases[strategy] = planCase{held(strategy), func(r *request.Request) { r.NumImages, r.MaxBatch = 2, 1 }, 64, 64, []int{1, 1}}
	}
	return cases
}

// TestPlanIsWhatGenerateMakes: for every kind of request the plan has the size, the batches and the peak of what Generate then makes.
func TestPlanIsWhatGenerateMakes(t *testing.T) {
	t.Parallel()
	for name, c := range planCases(t) {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Model: NanoModel, Device: "cpu", Precision: backend.PrecisionF16}
			c.open(&cfg)
			r := request.Request{Prompt: "a red circle on a blue background", Seed: 3, NumInferenceSteps: 2, Width: 64, Height: 64}
			c.edit(&r)
			if cfg.Refiner != "" {
				r.NumInferenceSteps = 5 // one is the refiner's
			}
			if !r.InitImage.IsZero() {
				r.Strength = 0.5
			}
			plan, err := Plan(t.Context(), cfg, []request.Request{r})
			require.NoError(t, err)
			p, err := Open(t.Context(), cfg, WithJobs(r))
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()

			var batches []int
			out := generate(t, p, r, WithProgress(func(at Progress) {
				if at.Stage == StageDecode {
					batches = append(batches, at.Together)
				}
			}))
			size := plan.Sizes[0]
			made := out.Images[0].Bounds()
			assert.Equal(t, []int{c.width, c.height, c.width, c.height}, []int{size.Width, size.Height, made.Dx(), made.Dy()}, "planned, made")
			assert.Equal(t, len(out.Images), size.Images)
			assert.Equal(t, c.batches, batches)
			assert.Equal(t, []int{batches[0], batches[0]}, []int{plan.Jobs[0].Batch, out.Memory.Batch}, "planned, decided")
			assert.Equal(t, plan.Strategy, out.Memory.Strategy)

			prep, err := p.target.Prepare(out.Request)
			require.NoError(t, err)
			job, err := p.planner.Job(prep)
			require.NoError(t, err)
			now, err := p.planner.Now(t.Context(), job)
			require.NoError(t, err)
			process := func(b memory.Breakdown) int64 { return b.Of(memory.StageText, "", "", memory.UseProcess) }
			peak, _ := plan.Peak(memory.HostID)
			assert.Equal(t, peak-process(plan.Jobs[0].Breakdown), out.Memory.Peaks[memory.HostID]-process(now.Jobs[0].Breakdown),
				"the peak, without what the process has held at either time")
		})
	}
}
