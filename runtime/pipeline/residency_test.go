package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// residents is a fake that notes after every computation which components are in memory, by the stage of package memory.
type residents struct {
	*fake.Backend
	models  []*residentModel
	stage   Stage // as it was reported last
	refines bool  // the refiner computed last
	fails   bool  // the first step, with its weights loaded
	held    map[string]map[string]bool
}

type residentModel struct {
	backend.Model
	all    *residents
	owner  string
	closed bool
}

func newResidents() *residents {
	return &residents{Backend: &fake.Backend{}, held: map[string]map[string]bool{}}
}

func (r *residents) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	m, err := r.Backend.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	owner := memory.OwnerModel
	switch {
	case cfg.Files.ControlNet != "":
		owner = cfg.Files.ControlNet
	case cfg.Files.TAESD != "":
		owner = memory.OwnerTAESD
	case cfg.Files.Upscaler != "":
		owner = memory.OwnerUpscaler
	case cfg.Files.Model == "refiner":
		owner = memory.OwnerRefiner
	}
	out := &residentModel{Model: m, all: r, owner: owner}
	r.models = append(r.models, out)
	return out, nil
}

// note adds what is in memory now to a stage.
func (r *residents) note(stage string) {
	if r.held[stage] == nil {
		r.held[stage] = map[string]bool{}
	}
	for _, m := range r.models {
		for _, c := range m.MemoryStats().Components {
			if c.Loaded && !m.closed {
				r.held[stage][m.owner+":"+c.Name] = true
			}
		}
	}
}

// computed notes the stage that a model has computed in.
func (m *residentModel) computed(err error) error {
	stage := map[Stage]string{StageText: memory.StageText, StageEncode: memory.StageEncode, StageDenoise: memory.StageDenoise,
		StageUpscale: memory.StageUpscale, StageDecode: memory.StageDecode}[m.all.stage]
	if m.owner != memory.OwnerTAESD { // which makes previews in others' stages
		m.all.refines = m.owner == memory.OwnerRefiner
	}
	if m.all.stage == StageDenoise && m.all.refines {
		stage = memory.StageRefine
	}
	m.all.note(stage)
	return err
}

func (m *residentModel) EncodeText(ctx context.Context, in backend.TextInput) (backend.TextOutput, error) {
	out, err := m.Model.EncodeText(ctx, in)
	return out, m.computed(err)
}

func (m *residentModel) UNet(ctx context.Context, in backend.UNetInput, out []float32) error {
	err := m.computed(m.Model.UNet(ctx, in, out))
	if m.all.fails {
		return errors.New("planted")
	}
	return err
}

func (m *residentModel) EncodeImage(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	out, err := m.Model.EncodeImage(ctx, pixels)
	return out, m.computed(err)
}

func (m *residentModel) DecodeLatents(ctx context.Context, latents backend.Tensor) (backend.Tensor, error) {
	out, err := m.Model.DecodeLatents(ctx, latents)
	return out, m.computed(err)
}

func (m *residentModel) EncodeHint(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	out, err := m.Model.EncodeHint(ctx, pixels)
	m.all.note(memory.StageControl)
	return out, err
}

func (m *residentModel) ControlNet(ctx context.Context, in backend.ControlInput, residuals []float32) error {
	return m.computed(m.Model.ControlNet(ctx, in, residuals))
}

func (m *residentModel) Upscale(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	out, err := m.Model.Upscale(ctx, pixels)
	return out, m.computed(err)
}

func (m *residentModel) Close() error {
	m.closed = true
	return m.Model.Close()
}

// parts lists the weights of all models that were opened, as a plan does.
func (r *residents) parts(onDemand bool) (out []memory.Part) {
	seen := map[string]bool{}
	for _, m := range r.models {
		for _, c := range m.Info().Components {
			if name := m.owner + ":" + c.Name; c.Opened && !seen[name] {
				seen[name] = true
				out = append(out, memory.Part{Owner: m.owner, Component: c.Name, Device: memory.HostID, Bytes: c.ParameterBytes,
					Largest: c.ParameterBytes, Streamed: c.ParameterBytes, Mapped: c.ParameterBytes / 2,
					OnDemand: m.owner == memory.OwnerRefiner && onDemand})
			}
		}
	}
	return out
}

// residencyCase is a job that uses some of the models.
type residencyCase struct {
	cfg     Config
	request request.Request
	job     memory.Job // what of it residency depends on
}

func residencyCases() map[string]residencyCase {
	everything := small("a red circle")
	everything.InitImage.Image, everything.Strength = gradient(64, 48), 1
	everything.ControlNets = []request.ControlNet{controlOf("one"), controlOf("two")}
	everything.Hires = request.Hires{Scale: 2, Upscaler: request.UpscaleModel}
	all := memory.Job{Encode: true, Enlarge: true, Second: true, Upscale: [2]int{48, 64}, Refine: true,
		Controls: []string{"one", "two"}, Previews: true}
	models := Config{Model: "base", Refiner: "refiner", TAESD: "taesd", Upscaler: "esrgan"}
	demand := models
	demand.RefinerOnDemand = true
	none := small("a red circle")
	none.RefinerMode = request.RefinerNone
	fast, fastJob := models, memory.Job{Previews: true, FastDecode: true}
	fast.FastDecode = true
	latent := small("a red circle")
	latent.Hires = request.Hires{Scale: 2, Upscaler: request.UpscaleLatent}
	return map[string]residencyCase{
		"a picture":                      {Config{Model: "base"}, small("a red circle"), memory.Job{}},
		"everything":                     {models, everything, all},
		"everything, refiner on demand":  {demand, everything, all},
		"models that take no part":       {demand, none, memory.Job{Previews: true}},
		"decoded by the TAESD":           {fast, none, fastJob},
		"latents enlarged, with refiner": {demand, latent, memory.Job{Refine: true, Second: true, Previews: true}},
	}
}

// TestResidencyIsWhatTheEstimateCounts runs jobs under every strategy, by Generate and by a Batcher: as the first, after another one, and
// after one that failed. In every stage exactly those weights are in memory that the estimate adds up.
func TestResidencyIsWhatTheEstimateCounts(t *testing.T) {
	for name, c := range residencyCases() {
		for _, strategy := range []string{memory.Resident, memory.Release, memory.Stage, memory.Stream, memory.Mmap} {
			for _, images := range []int{1, 2} {
				for _, way := range []string{"Generate", "Batcher"} {
					t.Run(fmt.Sprintf("%s/%s/%d/%s", name, strategy, images, way), func(t *testing.T) { c.check(t, strategy, images, way) })
				}
			}
		}
	}
}

func (c residencyCase) check(t *testing.T, strategy string, images int, way string) {
	r := newResidents()
	cfg := c.cfg
	cfg.Memory.Strategy, cfg.TextCache = strategy, -1
	p, err := Open(t.Context(), cfg, WithBackend(r))
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	req, job := c.request, c.job
	req.NumImages, req.MaxBatch = images, 1
	job.Width, job.Height, job.Images, job.Batch = 64, 48, images, 1
	if way == "Batcher" { // where every batch is by itself
		req.NumImages, job.Images = 1, 1
	}
	run := func() error { return r.run(t, p, req, way) }
	r.note(memory.StageLoad)
	require.NoError(t, run())
	r.compare(t, strategy, cfg.RefinerOnDemand, false, job)

	r.begin()
	require.NoError(t, run())
	r.compare(t, strategy, cfg.RefinerOnDemand, true, job)

	r.fails = true
	require.Error(t, run())
	r.fails = false
	r.begin()
	require.NoError(t, run())
	r.compare(t, strategy, cfg.RefinerOnDemand, true, job)
}

// begin forgets what was noted and notes what there is before a job.
func (r *residents) begin() {
	r.held = map[string]map[string]bool{}
	r.note(memory.StageLoad)
}

// run makes a request's pictures.
func (r *residents) run(t *testing.T, p *Pipeline, req request.Request, way string) error {
	tell := func(at Progress) { r.stage = at.Stage }
	if way == "Generate" {
		_, err := p.Generate(t.Context(), req, WithProgress(tell), WithPreview(1, PreviewTAESD))
		return err
	}
	b := NewBatcher(BatcherOptions{}, p)
	defer b.Close()
	plan, err := b.Plan(req)
	require.NoError(t, err)
	job, err := b.Submit(t.Context(), plan, JobOptions{OnProgress: tell, PreviewEvery: 1, PreviewMode: PreviewTAESD})
	require.NoError(t, err)
	return job.Wait(t.Context())
}

// compare holds the estimate of a job against what was noted. later says that an earlier job has left ControlNets and the upscaler open.
func (r *residents) compare(t *testing.T, strategy string, onDemand, later bool, job memory.Job) {
	t.Helper()
	model := memory.Model{Parts: r.parts(onDemand)}
	for i := range model.Parts {
		part := &model.Parts[i]
		part.Open = later && (part.Component == memory.ControlNet || part.Owner == memory.OwnerUpscaler)
	}
	compute := func(memory.Query) (int64, error) { return 1, nil }
	estimate, err := memory.Estimate(model, job, memory.Strategy{Name: strategy}, 0, 1, compute)
	require.NoError(t, err)
	for _, stage := range estimate.Stages {
		counted := map[string]bool{}
		for _, i := range stage.Items {
			if i.Owner+i.Component != "" && (i.Use == memory.UseWeights || i.Use == memory.UseWindow) {
				counted[i.Owner+":"+i.Component] = true
			}
		}
		assert.Equal(t, slices.Sorted(maps.Keys(counted)), slices.Sorted(maps.Keys(r.held[stage.Name])), "stage %s: counted, held", stage.Name)
	}
}

// TestTextsAreEncodedBeforeTheSteps: adapters that change the text encoders for a part of the steps do not bring them back into memory
// beside the UNet. A live change does, and they go before the next step.
func TestTextsAreEncodedBeforeTheSteps(t *testing.T) {
	dir := t.TempDir()
	writeAdapter(t, filepath.Join(dir, "text.safetensors"), 1, map[string]int{textKey: 8})
	for _, strategy := range []string{memory.Release, memory.Stage} {
		b := &fake.Backend{}
		p := openFakeAs(t, b, Config{LoRADirectories: []string{dir}, Memory: request.Memory{Strategy: strategy}})
		beside := 0 // steps that found a text encoder in memory
		b.Hook = func(_ context.Context, c fake.Call) error {
			if c.Op == fake.OpUNet && slices.ContainsFunc(loaded(p), isTextEncoder) {
				beside++
			}
			return nil
		}
		r := withLoRA(small("a circle"), lora.Adapter{Name: "text", Start: 0.5, End: 1})
		var h LoRAHandle
		generate(t, p, r, WithLoRAs(&h))
		assert.Zero(t, beside, strategy)
		encoded := b.Count(fake.OpEncodeText)
		generate(t, p, r, WithLoRAs(&h), WithProgress(func(at Progress) {
			if at.Stage == StageDenoise && at.Step == 2 {
				require.NoError(t, h.SetWeight("text", 0.25))
			}
		}))
		assert.Greater(t, b.Count(fake.OpEncodeText), encoded, "the change has an effect")
		assert.Zero(t, beside, strategy)
	}
}

// loaded names the base's components in memory.
func loaded(p *Pipeline) (out []string) {
	for _, c := range p.MemoryStats()[0].Components {
		if c.Loaded {
			out = append(out, c.Name)
		}
	}
	return out
}

func isTextEncoder(name string) bool {
	return name == memory.TextEncoder || name == memory.TextEncoder2
}
