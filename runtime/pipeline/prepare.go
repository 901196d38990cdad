package pipeline

import (
	"cmp"
	"errors"
	"math/rand/v2"

	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// CheckRun checks a run file's contents as far as that is possible without a model, before any weight is read:
// every field, every scheduler with its options, and every input file, which it reads into run's
// requests. It reports all mistakes at once, as request.Errors.
func CheckRun(run *request.Run) error {
	var errs request.Errors
	if err := run.Validate(); err != nil && !errors.As(err, &errs) {
		return err
	}
	library := lora.NewLibrary(run.Model.LoRADirectories...)
	for i := range run.Jobs {
		at := func(key string) string { return run.Path(i, key) }
		job := &run.Jobs[i]
		if _, err := newScheduler(*job, sdxlSettings()); err != nil {
			addSchedulerError(&errs, at, err)
		}
		checkPrompts(*job, at, &errs)
		checkLoRAs(*job, library, at, &errs)
		if len(errs) == 0 { // inputs can be large: not for nothing
			loadInputs(job, at, &errs)
		}
	}
	return errs.Err()
}

// Prepare returns req as Generate would run it on this model: inputs read, every default filled in and
// the seed chosen. Preparing the result again changes nothing. Errors are request.Errors.
func (p *Pipeline) Prepare(req request.Request) (request.Request, error) {
	var errs request.Errors
	if err := req.Validate(); err != nil && !errors.As(err, &errs) {
		return req, err
	}
	here := func(key string) string { return key }
	checkPrompts(req, here, &errs)
	checkLoRAs(req, p.adapters.library, here, &errs)
	if len(errs) == 0 {
		loadInputs(&req, here, &errs)
	}
	if _, err := newScheduler(req, p.settings); err != nil {
		addSchedulerError(&errs, here, err)
	}
	if err := errs.Err(); err != nil {
		return req, err
	}
	p.fillDefaults(&req)
	p.checkAgainstModel(req, &errs)
	return req, errs.Err()
}

// maxAutoBatch and autoBatchPixels bound a batch whose size nobody chose: its memory stays near that of one
// picture of SDXL's own size.
const (
	maxAutoBatch    = 16
	autoBatchPixels = 1 << 20
)

// autoBatch is the batch that nobody chose.
func autoBatch(pixels int) int {
	return min(max(autoBatchPixels/max(pixels, 1), 1), maxAutoBatch)
}

// fillDefaults replaces zero values by what they stand for.
func (p *Pipeline) fillDefaults(r *request.Request) {
	width, height := p.settings.width, p.settings.height
	if img := r.InitImage.Image; img != nil {
		unit := p.settings.downscale
		width, height = max(img.Bounds().Dx()/unit*unit, unit), max(img.Bounds().Dy()/unit*unit, unit)
		width, height = width+r.Outpaint.Left+r.Outpaint.Right, height+r.Outpaint.Top+r.Outpaint.Bottom
	}
	r.Width = cmp.Or(r.Width, width)
	r.Height = cmp.Or(r.Height, height)
	r.NumImages = max(r.NumImages, 1)
	if r.Seed < 0 {
		r.Seed = int64(rand.Uint32()) // torch's CPU generator uses 32 bits of a seed
	}
	r.RNG = cmp.Or(r.RNG, request.RNGs[0])
	r.NumInferenceSteps = cmp.Or(r.NumInferenceSteps, p.settings.steps)
	r.GuidanceScale = cmp.Or(r.GuidanceScale, p.settings.guidance)
	r.Scheduler = cmp.Or(r.Scheduler, p.settings.schedulerName)
	if (!r.InitImage.IsZero() || !r.Latents.IsZero()) && r.DenoisingStart == 0 {
		strength := request.DefaultStrength
		if r.Paints() {
			strength = request.DefaultInpaintStrength
		}
		r.Strength = cmp.Or(r.Strength, strength)
	}
	if p.refiner != nil {
		fillRefiner(r)
	}
	p.fillHires(r)
	if r.ForceZerosForEmptyPrompt == nil {
		zeros := p.settings.forceZeros
		r.ForceZerosForEmptyPrompt = &zeros
	}
	r.PromptSyntax = cmp.Or(r.PromptSyntax, request.SyntaxA1111)
	fillSizes(r)
	if r.MaxBatch == 0 {
		r.MaxBatch = autoBatch(largestPass(*r))
	}
	r.GuidanceBatch = cmp.Or(r.GuidanceBatch, request.GuidanceAuto)
	r.Seamless = cmp.Or(r.Seamless, request.SeamlessNone)
	r.Quality = cmp.Or(r.Quality, request.DefaultQuality)
	if r.Metadata == nil {
		r.Metadata = new(true)
	}
}

// checkAgainstModel refuses what is valid in itself but not with this model.
func (p *Pipeline) checkAgainstModel(r request.Request, errs *request.Errors) {
	for _, side := range []struct {
		key string
		n   int
	}{{"width", r.Width}, {"height", r.Height}} {
		if unit := p.settings.downscale; side.n%unit != 0 {
			errs.Add(side.key, "is %d; this model's VAE needs a multiple of %d", side.n, unit)
		}
	}
	if r.Width*r.Height > request.MaxPixels {
		errs.Add("width", "%d x %d has more than %d million pixels; give a smaller width and height", r.Width, r.Height, request.MaxPixels>>20)
	}
	if p.info.UNet.InChannels == 9 && !r.Paints() {
		errs.Add("mask_image", "is missing; this is an inpainting checkpoint, which needs init_image and mask_image, or outpaint")
	}
	if layers := min(p.info.TextEncoder.Layers, p.info.TextEncoder2.Layers); r.ClipSkip > layers-2 {
		errs.Add("clip_skip", "is %d; the text encoders have %d layers, so at most %d can be skipped", r.ClipSkip, layers, max(layers-2, 0))
	}
	p.checkOutpaint(r, errs)
	p.checkHires(r, errs)
	p.checkLatents("noise", r.Noise, r, errs)
	p.checkLatents("latents", r.Latents, r, errs)
	p.checkRefiner(r, errs)
	p.checkControls(r, errs)
	if r.Strength > 0 && int(float64(r.NumInferenceSteps)*r.Strength) < 1 {
		errs.Add("strength", "%v of %d steps is none; raise strength or num_inference_steps", r.Strength, r.NumInferenceSteps)
	}
}

// checkLatents checks the shape of given noise or latents: one for all pictures, or one for each.
func (p *Pipeline) checkLatents(key string, a request.Array, r request.Request, errs *request.Errors) {
	if a.IsZero() {
		return
	}
	shape := a.Shape
	if len(shape) == 3 {
		shape = append([]int{1}, shape...)
	}
	c, h, w := p.info.VAE.LatentChannels, r.Height/p.settings.downscale, r.Width/p.settings.downscale
	if len(shape) != 4 || shape[0] != 1 && shape[0] != r.NumImages || shape[1] != c || shape[2] != h || shape[3] != w {
		errs.Add(key, "has shape %v; expected [1, %d, %d, %d], or [%d, ...] with one for each picture", a.Shape, c, h, w, r.NumImages)
	}
}

// newScheduler makes the request's scheduler, with the options of the model overridden by the request's.
func newScheduler(r request.Request, s settings) (scheduler.Scheduler, error) {
	_, options, err := scheduler.ConfigFromMap(r.SchedulerOptions)
	if err != nil {
		return nil, err
	}
	spacing, err := scheduler.ResolveSpacing(r.Sigmas)
	if err != nil {
		return nil, err
	}
	return scheduler.New(cmp.Or(r.Scheduler, s.schedulerName), s.scheduler.With(spacing.Options).With(options))
}

// addSchedulerError files a scheduler's error under the key it is about.
func addSchedulerError(errs *request.Errors, at func(string) string, err error) {
	key := "scheduler_options"
	var name *scheduler.NameError
	if errors.As(err, &name) {
		key = "scheduler"
	}
	var option *scheduler.OptionError
	if errors.As(err, &option) && option.Option == "sigmas" {
		key = "sigmas"
	}
	errs.Add(at(key), "%v", err)
}
