package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// refinerModel is the refiner of a Pipeline. It stays open from Open to Close, or with Config.RefinerOnDemand only while
// a Generate uses it. It is safe for concurrent use.
type refinerModel struct {
	backend  backend.Backend
	plan     openPlan
	onDemand bool

	mu    sync.Mutex // held while it is opened and closed
	model backend.Model
	users int
}

// refinerConfig is how the refiner is opened: as the base, but from its own file and with its own type of weights.
func (c Config) refinerConfig() Config {
	return Config{Model: c.Refiner, Device: c.Device, TextDevice: c.TextDevice, VAEDevice: c.VAEDevice, Precision: c.Precision,
		Type: c.Type, UNetType: cmp.Or(c.RefinerType, c.UNetType), TextType: c.TextType, Threads: c.Threads, FlashAttention: c.FlashAttention}
}

// refinerComponents are those that are opened: the base's VAE decodes.
var refinerComponents = []string{memory.TextEncoder, memory.TextEncoder2, memory.UNet}

// planRefiner reads the refiner's headers.
func (p *Pipeline) planRefiner(ctx context.Context, b backend.Backend) error {
	if p.config.Refiner == "" {
		return nil
	}
	plan, err := planOpen(ctx, "refiner", p.config.refinerConfig(), fileless(b), p.log)
	if err != nil {
		return err
	}
	plan.model.Components = refinerComponents
	p.held.apply(&plan.model)
	p.refiner = &refinerModel{backend: b, plan: plan, onDemand: p.config.RefinerOnDemand}
	if p.refiner.onDemand {
		return nil
	}
	if _, err := p.refiner.acquire(ctx, p.info); err != nil {
		return fmt.Errorf("refiner: %w", err)
	}
	return nil
}

// acquire opens the model where it is not open and counts its users. base is the model whose latents it will continue.
func (r *refinerModel) acquire(ctx context.Context, base backend.ModelInfo) (*expert, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.model == nil {
		model, err := r.backend.Open(ctx, r.plan.model)
		if err != nil {
			return nil, err
		}
		if err := checkRefiner(model.Info(), base); err != nil {
			_ = model.Close() // the first error says more
			return nil, err
		}
		r.model = model
	}
	r.users++
	info := r.model.Info()
	zeros := info.Kind != backend.KindSDXLRefiner // stabilityai/stable-diffusion-xl-refiner-1.0's model_index.json says false
	if stated := r.plan.forceZeros; stated != nil {
		zeros = *stated
	}
	return &expert{model: r.model, info: info, forceZeros: zeros}, nil
}

// release gives back what acquire returned; the last user closes the model.
func (r *refinerModel) release() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users--; r.users > 0 {
		return nil
	}
	model := r.model
	r.model = nil
	return model.Close()
}

// current is the model if it is open, else nil.
func (r *refinerModel) current() backend.Model {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.model
}

// checkRefiner refuses models that cannot continue the base's latents. An SDXL base checkpoint can: it is then conditioned as
// a base is.
func checkRefiner(info, base backend.ModelInfo) error {
	if info.Kind != backend.KindSDXLRefiner && info.Kind != backend.KindSDXLBase {
		return fmt.Errorf("%w: a model of kind %q cannot refine; give an SDXL refiner, or another SDXL base checkpoint", ErrUnsupportedModel, info.Kind)
	}
	encoders := []string{"text_encoder_2"}
	if info.Kind == backend.KindSDXLBase {
		encoders = append(encoders, "text_encoder")
	}
	for _, c := range info.Components {
		for _, name := range encoders {
			if c.Name == name && !c.Opened {
				return fmt.Errorf("%w: the refiner's files hold no %s; give a complete checkpoint", ErrUnsupportedModel, name)
			}
		}
	}
	u, width := info.UNet, info.TextEncoder2.Width
	if info.Kind == backend.KindSDXLBase {
		width += info.TextEncoder.Width
	}
	switch {
	case u.InChannels != base.UNet.OutChannels || u.OutChannels != base.UNet.OutChannels:
		return fmt.Errorf("%w: the refiner's UNet takes %d channels and yields %d, the base's latents have %d", ErrUnsupportedModel,
			u.InChannels, u.OutChannels, base.UNet.OutChannels)
	case u.ContextDim != width:
		return fmt.Errorf("%w: the refiner's text encoders yield %d values a token, its UNet takes %d; they do not belong together", ErrUnsupportedModel,
			width, u.ContextDim)
	case u.PooledDim != info.TextEncoder2.ProjectionDim:
		return fmt.Errorf("%w: the refiner's text encoder projects to %d, its UNet takes %d; they do not belong together", ErrUnsupportedModel,
			info.TextEncoder2.ProjectionDim, u.PooledDim)
	}
	return nil
}

// fillRefiner replaces the zero values of what concerns the refiner.
func fillRefiner(r *request.Request) {
	r.RefinerMode = cmp.Or(r.RefinerMode, request.RefinerEnsemble)
	switch r.RefinerMode {
	case request.RefinerEnsemble:
		r.RefinerStart = cmp.Or(r.RefinerStart, request.DefaultRefinerStart)
	case request.RefinerImg2Img:
		r.RefinerStrength = cmp.Or(r.RefinerStrength, request.DefaultRefinerStrength)
	default:
		return
	}
	r.RefinerSteps = cmp.Or(r.RefinerSteps, r.NumInferenceSteps)
	r.AestheticScore = cmp.Or(r.AestheticScore, request.DefaultAestheticScore)
	r.NegativeAestheticScore = cmp.Or(r.NegativeAestheticScore, request.DefaultNegativeAesthetic)
}

// checkRefiner refuses what asks for a refiner that is not there, or for one twice.
func (p *Pipeline) checkRefiner(r request.Request, errs *request.Errors) {
	if p.refiner == nil {
		if r.RefinerStart != 0 || r.RefinerMode != "" && r.RefinerMode != request.RefinerNone {
			errs.Add("refiner_mode", "asks for a refiner, and none is open; give one as refiner in [model]")
		}
		return
	}
	if r.RefinerMode == request.RefinerImg2Img && int(float64(r.RefinerSteps)*r.RefinerStrength) < 1 {
		errs.Add("refiner_strength", "%v of %d steps is none; raise refiner_strength or refiner_steps", r.RefinerStrength, r.RefinerSteps)
	}
}

// refines reports whether a refiner takes part in this call.
func (j *job) refines() bool { return j.p.refiner != nil && j.req.RefinerMode != request.RefinerNone }

// handsOver reports whether the base stops with noise left, for the refiner to continue.
func (j *job) handsOver() bool { return j.refines() && j.req.RefinerMode == request.RefinerEnsemble }

// refinerRun is what the refiner does of the schedule: the rest from RefinerStart on, or as image-to-image the end that
// RefinerStrength says.
func (j *job) refinerRun() scheduler.RunOptions {
	o := scheduler.RunOptions{NumInferenceSteps: cmp.Or(j.req.RefinerSteps, j.req.NumInferenceSteps), DenoisingEnd: j.req.DenoisingEnd}
	if j.handsOver() {
		o.DenoisingStart = j.req.RefinerStart
	} else {
		o.Strength = j.req.RefinerStrength
	}
	return o
}

// openResidentRefiner makes ready a refiner that is open anyway, so that its texts are encoded with the base's.
func (j *job) openResidentRefiner(ctx context.Context) error {
	if !j.refines() || j.p.refiner.onDemand || j.memory.staged() {
		return nil
	}
	return j.openRefiner(ctx)
}

// openRefiner takes the refiner for this call and encodes the texts for it.
func (j *job) openRefiner(ctx context.Context) error {
	e, err := j.p.refiner.acquire(ctx, j.p.info)
	if err != nil {
		return fmt.Errorf("opening the refiner: %w", err)
	}
	j.refiner = e
	if err := j.condition(ctx, e); err != nil {
		return fmt.Errorf("refiner: %w", err)
	}
	return nil
}

// closeRefiner gives the refiner back at the end of the call.
func (j *job) closeRefiner() {
	if j.refiner == nil {
		return
	}
	j.refiner = nil
	if err := j.p.refiner.release(); err != nil {
		j.warn(fmt.Sprintf("closing the refiner: %v", err))
	}
}

// denoiseAll runs the base's loop and then the refiner's, from latents to latents: nothing is decoded in between.
func (j *job) denoiseAll(ctx context.Context, b *batch) error {
	j.beginBatch()
	if err := j.denoise(ctx, b, &j.base); err != nil {
		return err
	}
	if !j.refines() {
		return nil
	}
	j.hold(memory.StageRefine)
	for _, member := range j.together() {
		if member.refiner == nil {
			if err := member.openRefiner(ctx); err != nil {
				return err
			}
		}
	}
	var err error
	if b.run, err = j.newRun(b.count, j.refinerRun()); err != nil {
		return err
	}
	if err := checkTokens(j.together(), func(m *job) *expert { return m.refiner }); err != nil {
		return err
	}
	b.unfinished = j.req.DenoisingEnd > 0
	if !j.handsOver() {
		b.noise = make([]float32, len(b.latents))
		if err := b.generators.Normal(b.noise); err != nil {
			return err
		}
		if err := b.run.AddNoise(b.latents, b.latents, b.noise, 0); err != nil {
			return err
		}
	}
	if err := j.denoise(ctx, b, j.refiner); err != nil {
		return fmt.Errorf("refiner: %w", err)
	}
	return nil
}
