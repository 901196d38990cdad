package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"image"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/upscale"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// fillHires replaces the zero values of a second pass.
func (p *Pipeline) fillHires(r *request.Request) {
	h := &r.Hires
	if !h.On() {
		return
	}
	h.Width, h.Height = h.Size(r.Width, r.Height, p.settings.downscale)
	way := request.UpscaleLatent
	if p.config.Upscaler != "" {
		way = request.UpscaleModel
	}
	h.Upscaler = cmp.Or(h.Upscaler, way)
	h.Strength = cmp.Or(h.Strength, request.DefaultHiresStrength)
	h.Steps = cmp.Or(h.Steps, r.NumInferenceSteps)
}

// checkHires refuses a second pass that this model cannot do.
func (p *Pipeline) checkHires(r request.Request, errs *request.Errors) {
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
		if unit := p.settings.downscale; side.n%unit != 0 || side.n > request.MaxSide {
			errs.Add("hires."+side.key, "is %d; it must be a multiple of %d, at most %d", side.n, unit, request.MaxSide)
		}
	}
	if h.Width*h.Height > request.MaxPixels {
		errs.Add("hires", "%d x %d has more than %d million pixels; give a smaller scale", h.Width, h.Height, request.MaxPixels>>20)
	}
	if h.Upscaler == request.UpscaleModel && p.config.Upscaler == "" {
		errs.Add("hires.upscaler", "is model, and there is none; name an ESRGAN file as upscaler in [model]")
	}
	if h.Upscaler == request.UpscaleModel || h.Upscaler == request.UpscalePicture {
		for _, c := range p.info.Components {
			if c.Name == "vae_encoder" && !c.Loaded {
				errs.Add("hires.upscaler", "%s needs the VAE's encoder, which the model's files do not hold; use latent", h.Upscaler)
			}
		}
	}
	if int(float64(h.Steps)*h.Strength) < 1 {
		errs.Add("hires.strength", "%v of %d steps is none; raise strength or steps", h.Strength, h.Steps)
	}
}

// largestPass is the pixels of a prepared request's larger pass.
func largestPass(r request.Request) int {
	if r.Hires.On() {
		return r.Hires.Width * r.Hires.Height
	}
	return r.Width * r.Height
}

// hiresRun is what the second pass does of its schedule.
func (j *job) hiresRun() scheduler.RunOptions {
	return scheduler.RunOptions{NumInferenceSteps: j.req.Hires.Steps, Strength: j.req.Hires.Strength}
}

// secondPass enlarges what the first pass left in the batch and denoises it again, by the base alone. Nothing happens where the request has
// no second pass.
func (j *job) secondPass(ctx context.Context, b *batch) error {
	if !j.req.Hires.On() {
		return nil
	}
	j.enter(StageUpscale)
	j.hold(memory.StageUpscale)
	if err := j.enlarge(ctx, b); err != nil {
		return err
	}
	j.hold(memory.StageDenoise)
	j.leave()
	j.state.Stage = StageDenoise // enter would begin to count from 0
	j.report(0)
	b.second, b.unfinished, b.picture = true, false, nil
	var err error
	if b.run, err = j.newRun(b.count, j.hiresRun()); err != nil {
		return err
	}
	b.controlSteps = b.run.NumEvaluations()
	b.noise = make([]float32, len(b.latents))
	if err := b.generators.Normal(b.noise); err != nil {
		return err
	}
	if err := b.run.AddNoise(b.latents, b.latents, b.noise, 0); err != nil {
		return err
	}
	if err := j.denoise(ctx, b, &j.base); err != nil {
		return fmt.Errorf("second pass: %w", err)
	}
	return nil
}

// enlarge brings the batch's latents to the second pass's size.
func (j *job) enlarge(ctx context.Context, b *batch) error {
	h := j.req.Hires
	height, width := h.Height/j.p.settings.downscale, h.Width/j.p.settings.downscale
	if h.Upscaler == request.UpscaleLatent || h.Upscaler == request.UpscaleLatentNearest {
		resize := resizeBilinear
		if h.Upscaler == request.UpscaleLatentNearest {
			resize = resizeNearest
		}
		out := make([]float32, 0, b.count*b.channels*height*width)
		cells := b.height * b.width
		for plane := range b.count * b.channels {
			out = append(out, resize(b.latents[plane*cells:(plane+1)*cells], b.height, b.width, height, width)...)
		}
		b.latents, b.height, b.width = out, height, width
		return nil
	}
	moments := make([]backend.Tensor, b.count)
	for i := range b.count {
		var err error
		if moments[i], err = j.enlargePicture(ctx, b, i); err != nil {
			return err
		}
	}
	b.height, b.width = height, width
	b.latents = make([]float32, b.size())
	for i := range b.count {
		j.drawImage(b, i, moments[i], b.image(b.latents, i))
	}
	return nil
}

// enlargePicture decodes picture i of the batch, enlarges it and encodes it again.
func (j *job) enlargePicture(ctx context.Context, b *batch, i int) (backend.Tensor, error) {
	what := describe(b.slots[i:i+1]) + " of the first pass"
	pixels, err := j.decodeVAE(ctx, b.latentsOf(i), what)
	if err != nil {
		return pixels, err
	}
	img, _ := pictureOf(pixels.Data, pixels.Shape[3], pixels.Shape[2])
	if j.req.Hires.Upscaler == request.UpscaleModel {
		if img, err = j.upscalePicture(ctx, img); err != nil {
			return pixels, err
		}
	}
	h := j.req.Hires
	moments, err := j.p.coder.Encode(ctx, j.policy(), pixelsOf(picture.Resize(img, h.Width, h.Height), h.Width, h.Height))
	if err != nil {
		return backend.Tensor{}, fmt.Errorf("encoding %s: %w", what, err)
	}
	j.warnOfVAE(moments, "the VAE's encoding of "+what)
	return moments.Tensor, nil
}

// upscalePicture runs the pipeline's upscaler, which stays open in the cache of VAEs for the next picture.
func (j *job) upscalePicture(ctx context.Context, img image.Image) (*image.NRGBA, error) {
	c := j.p.config
	lease, err := j.p.vaes.Acquire(ctx, backend.ModelConfig{Files: backend.Files{Upscaler: c.Upscaler}, Device: cmp.Or(c.VAEDevice, c.Device),
		Precision: c.Precision, Threads: c.Threads})
	if err != nil {
		return nil, fmt.Errorf("upscaler: %w", err)
	}
	defer lease.Release()
	return upscale.Picture(ctx, lease.Model(), img, upscale.Options{})
}

// secondSizeIDs is the size conditioning of the second pass: sizes that were those of the first are now its own.
func (j *job) secondSizeIDs(e *expert, positive bool) []float32 {
	r, n := &j.texts, e.info.UNet.SizeIDs
	first, now := request.Size{Height: r.Height, Width: r.Width}, request.Size{Height: r.Hires.Height, Width: r.Hires.Width}
	own := func(s request.Size) request.Size {
		if s == first {
			return now
		}
		return s
	}
	if positive {
		return sizeIDs(n, own(r.OriginalSize), r.CropsCoordsTopLeft, own(r.TargetSize), r.AestheticScore)
	}
	return sizeIDs(n, own(r.NegativeOriginalSize), r.NegativeCropsCoordsTopLeft, own(r.NegativeTargetSize), r.NegativeAestheticScore)
}

// resizeBilinear scales a plane as torch's interpolate does with mode bilinear and align_corners False: cells are sampled at their centres, and
// beyond the border there is the border. There is no smoothing: it is made for enlarging.
func resizeBilinear(src []float32, h, w, height, width int) []float32 {
	ys, xs := samples(h, height), samples(w, width)
	out := make([]float32, 0, height*width)
	for _, y := range ys {
		for _, x := range xs {
			top := src[y.low*w+x.low]*(1-x.part) + src[y.low*w+x.high]*x.part
			bottom := src[y.high*w+x.low]*(1-x.part) + src[y.high*w+x.high]*x.part
			out = append(out, top*(1-y.part)+bottom*y.part)
		}
	}
	return out
}

// sample is where a cell of the larger plane lies between two of the smaller one.
type sample struct {
	low, high int
	part      float32
}

func samples(n, many int) []sample {
	out := make([]sample, many)
	for i := range out {
		at := max((float32(i)+0.5)*float32(n)/float32(many)-0.5, 0)
		low := int(at)
		out[i] = sample{low, min(low+1, n-1), at - float32(low)}
	}
	return out
}

// resizeNearest scales a plane as torch's interpolate does with mode nearest.
func resizeNearest(src []float32, h, w, height, width int) []float32 {
	out := make([]float32, 0, height*width)
	for y := range height {
		for x := range width {
			out = append(out, src[y*h/height*w+x*w/width])
		}
	}
	return out
}

// hintAt embeds a net's control picture at a size in pixels.
func (j *job) hintAt(ctx context.Context, c *control, width, height int) (backend.Tensor, error) {
	shown, err := c.spec.Map(width, height)
	if err != nil {
		return backend.Tensor{}, err
	}
	return c.net.model.EncodeHint(ctx, hintPixels(shown))
}
