package steps

import (
	"context"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// BeginRefiner prepares the refiner's loop on the latents that the base left.
func (b *Batch) BeginRefiner() (err error) {
	lead := b.lead()
	if b.run, err = lead.NewRun(b.Len(), lead.RefinerPass()); err != nil {
		return err
	}
	if err := b.spread(lead.RefinerPass()); err != nil {
		return err
	}
	b.unfinished = lead.Request.DenoisingEnd > 0
	if lead.HandsOver() {
		return nil
	}
	if err := b.countWhole(lead.RefinerPass()); err != nil {
		return err
	}
	return b.renoise()
}

// BeginSecond enlarges the latents to the size of the second pass and prepares its loop. enlarge makes moments of picture i at that size,
// where the request wants the picture enlarged and not the latents.
func (b *Batch) BeginSecond(ctx context.Context, enlarge func(ctx context.Context, i int) (backend.Tensor, error)) error {
	if err := b.enlarge(ctx, enlarge); err != nil {
		return err
	}
	b.second, b.unfinished, b.given = true, false, nil
	lead := b.lead()
	var err error
	if b.run, err = lead.NewRun(b.Len(), lead.SecondPass()); err != nil {
		return err
	}
	b.controlSteps = b.run.NumEvaluations()
	if err := b.spread(lead.SecondPass()); err != nil {
		return err
	}
	if err := b.countWhole(lead.SecondPass()); err != nil {
		return err
	}
	if err := b.renoise(); err != nil {
		return err
	}
	b.drawSecond()
	return nil
}

// renoise draws new noise and adds as much as the loop begins with.
func (b *Batch) renoise() error {
	b.noise = make([]float32, len(b.Latents))
	if err := b.generators.Normal(b.noise); err != nil {
		return err
	}
	return b.run.AddNoise(b.Latents, b.Latents, b.noise, 0)
}

func (b *Batch) enlarge(ctx context.Context, enlarge func(context.Context, int) (backend.Tensor, error)) error {
	h := b.lead().Request.Hires
	height, width := h.Height/b.settings.Downscale, h.Width/b.settings.Downscale
	if h.Upscaler == request.UpscaleLatent || h.Upscaler == request.UpscaleLatentNearest {
		resize := ResizeBilinear
		if h.Upscaler == request.UpscaleLatentNearest {
			resize = ResizeNearest
		}
		out := make([]float32, 0, b.Len()*b.Channels*height*width)
		cells := b.Height * b.Width
		for plane := range b.Len() * b.Channels {
			out = append(out, resize(b.Latents[plane*cells:(plane+1)*cells], b.Height, b.Width, height, width)...)
		}
		b.Latents, b.Height, b.Width = out, height, width
		return nil
	}
	moments := make([]backend.Tensor, b.Len())
	for i := range moments {
		var err error
		if moments[i], err = enlarge(ctx, i); err != nil {
			return err
		}
	}
	b.Height, b.Width = height, width
	b.Latents = make([]float32, b.size())
	for i := range moments {
		b.sampleImage(i, moments[i], b.image(b.Latents, i))
	}
	return nil
}

// ResizeBilinear scales a plane as torch's interpolate does with mode bilinear and align_corners False: cells are sampled at their centres,
// and beyond the border there is the border. It does not smooth: it is made for enlarging.
func ResizeBilinear(src []float32, h, w, height, width int) []float32 {
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

// ResizeNearest scales a plane as torch's interpolate does with mode nearest.
func ResizeNearest(src []float32, h, w, height, width int) []float32 {
	out := make([]float32, 0, height*width)
	for y := range height {
		for x := range width {
			out = append(out, src[y*h/height*w+x*w/width])
		}
	}
	return out
}
