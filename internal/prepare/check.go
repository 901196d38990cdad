package prepare

import (
	"slices"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// check refuses what is valid in itself but not with this model. Defaults are filled in.
func (t *Target) check(r request.Request, errs *request.Errors) {
	unit := t.Settings.Downscale
	for _, side := range []struct {
		key string
		n   int
	}{{"width", r.Width}, {"height", r.Height}} {
		if side.n%unit != 0 {
			errs.Add(side.key, "is %d; this model's VAE needs a multiple of %d", side.n, unit)
		}
	}
	if r.Width*r.Height > request.MaxPixels {
		errs.Add("width", "%d x %d has more than %d million pixels; give a smaller width and height", r.Width, r.Height, request.MaxPixels>>20)
	}
	if t.Info.UNet.InChannels == 9 && !r.Paints() {
		errs.Add("mask_image", "is missing; this is an inpainting checkpoint, which needs init_image and mask_image, or outpaint")
	}
	if layers := min(t.Info.TextEncoder.Layers, t.Info.TextEncoder2.Layers); r.ClipSkip > layers-2 {
		errs.Add("clip_skip", "is %d; the text encoders have %d layers, so at most %d can be skipped", r.ClipSkip, layers, max(layers-2, 0))
	}
	if g := r.Outpaint; g.On() && (r.Width-g.Left-g.Right < unit || r.Height-g.Top-g.Bottom < unit) {
		errs.Add("outpaint", "leaves nothing of init_image in %d x %d; width and height are those of the enlarged picture", r.Width, r.Height)
	}
	if t.Settings.EDM && !models.NeedsEDM(r.Scheduler) {
		errs.Add("scheduler", "%s does not fit this model, which has EDM's preconditioning as Playground v2.5 and CosXL do; use EDMEuler or "+
			"EDMDPMSolverMultistep", r.Scheduler)
	}
	if !r.InitImage.IsZero() && t.lacksEncoder() {
		errs.AddFile("init_image", "needs the VAE's encoder, which the model's files do not hold; give a VAE with both halves as vae in [model]")
	}
	t.checkGuidance(r, errs)
	if most := t.Info.UNet.Branches() - 1; most >= 0 && r.Reuse.Branch > most { // a plan without a backend does not know them
		errs.Add("reuse.deepcache_branch", "is %d; this UNet has the branches 0 to %d", r.Reuse.Branch, most)
	}
	if way := r.Reuse.Way(); r.Guidance.Method == request.GuidanceCFGPlusPlus &&
		(r.GuidanceInterval() || way == "tgate" || way == "spectrum") {
		errs.Add("guidance.method", "CFG++ needs both halves in every step; leave guidance_start, guidance_stop, reuse.tgate and "+
			"reuse.spectrum out, "+
			"or take another method or scheduler")
	}
	t.checkHires(r, errs)
	t.checkTiles(r, errs)
	t.checkLatents("noise", r.Noise, r, errs)
	t.checkLatents("latents", r.Latents, r, errs)
	t.checkRefiner(r, errs)
	if r.Strength > 0 && int(float64(r.NumInferenceSteps)*r.Strength) < 1 {
		errs.Add("strength", "%v of %d steps is none; raise it or num_inference_steps", r.Strength, r.NumInferenceSteps)
	}
}

// lacksEncoder reports whether the VAE is a decoder alone.
func (t *Target) lacksEncoder() bool {
	c, ok := models.Component(t.Info, "vae_encoder")
	return ok && !c.Opened
}

// checkHires refuses a second pass that this model cannot do.
func (t *Target) checkHires(r request.Request, errs *request.Errors) {
	h := r.Hires
	if !h.On() {
		return
	}
	if h.Width < r.Width || h.Height < r.Height || h.Width == r.Width && h.Height == r.Height {
		errs.Add("hires", "makes %d x %d of %d x %d; a second pass is larger", h.Width, h.Height, r.Width, r.Height)
	}
	for _, side := range []struct {
		key string
		n   int
	}{{"width", h.Width}, {"height", h.Height}} {
		if unit := t.Settings.Downscale; side.n%unit != 0 || side.n > request.MaxSide {
			errs.Add("hires."+side.key, "is %d; it must be a multiple of %d, at most %d", side.n, unit, request.MaxSide)
		}
	}
	if h.Width*h.Height > request.MaxPixels {
		errs.Add("hires", "%d x %d has more than %d million pixels; give a smaller scale", h.Width, h.Height, request.MaxPixels>>20)
	}
	if h.Upscaler == request.UpscaleModel && !t.Upscaler {
		errs.Add("hires.upscaler", "is model, and there is none; name an ESRGAN file as upscaler in [model]")
	}
	if h.Upscaler == request.UpscaleModel || h.Upscaler == request.UpscalePicture {
		if t.lacksEncoder() {
			errs.Add("hires.upscaler", "%s needs the VAE's encoder, which the model's files do not hold; use latent", h.Upscaler)
		}
	}
	if int(float64(h.Steps)*h.Strength) < 1 {
		errs.Add("hires.strength", "%v of %d steps is none; raise it or the steps of this pass", h.Strength, h.Steps)
	}
}

// checkLatents checks the shape of given noise or latents: one for all pictures, or one for each.
func (t *Target) checkLatents(key string, a request.Array, r request.Request, errs *request.Errors) {
	if a.IsZero() {
		return
	}
	shape := slices.Clone(a.Shape)
	if len(shape) == 3 {
		shape = append([]int{1}, shape...)
	}
	fail := errs.Add
	if a.Path != "" {
		fail = errs.AddFile
	}
	c, h, w := t.Info.VAE.LatentChannels, r.Height/t.Settings.Downscale, r.Width/t.Settings.Downscale
	if len(shape) != 4 || shape[0] != 1 && shape[0] != r.NumImages || shape[1] != c || shape[2] != h || shape[3] != w {
		fail(key, "has shape %v; expected [1, %d, %d, %d], or [%d, ...] with one for each picture", a.Shape, c, h, w, r.NumImages)
	}
}

// checkRefiner refuses a request for a refiner that is not there, and one whose share of the steps is none.
func (t *Target) checkRefiner(r request.Request, errs *request.Errors) {
	if !t.Refiner {
		if r.RefinerStart != 0 || r.RefinerMode != "" && r.RefinerMode != request.RefinerNone {
			errs.Add("refiner_mode", "asks for a refiner, and none is open; give one as refiner in [model]")
		}
		return
	}
	if r.RefinerMode == request.RefinerImg2Img && int(float64(r.RefinerSteps)*r.RefinerStrength) < 1 {
		errs.Add("refiner_strength", "%v of %d steps is none; raise it or refiner_steps", r.RefinerStrength, r.RefinerSteps)
	}
}
