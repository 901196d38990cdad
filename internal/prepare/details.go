package prepare

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Detail is the request that paints part k of a finished picture again: what ADetailer asks of img2img, "only masked". It has the adapters
// of the request, and neither its refiner nor what belongs to other places or other pictures: ControlNets, IP-Adapters and regions.
//
// pass is the number of the pass over this picture, and found the part where a detector has found it.
func (p *Prepared) Detail(k, pass int, found *[4]float64, finished image.Image, seed int64) request.Request {
	r := *p.Texts
	d := r.Details[k].Filled(&r)
	if found != nil {
		d.Box = found
	}
	r.Prompt, r.NegativePrompt = cmp.Or(d.Prompt, r.Prompt), cmp.Or(d.NegativePrompt, r.NegativePrompt)
	if d.Prompt != "" {
		r.Prompt2 = ""
	}
	if d.NegativePrompt != "" {
		r.NegativePrompt2 = ""
	}
	r.LoRAs, r.LoRAStack = p.Adapters.Adapters, p.Adapters.Options
	r.Seed, r.NumImages, r.MaxBatch = seed+int64(pass), 1, 1
	r.InitImage, r.MaskImage, r.MaskChannel = request.Picture{Image: finished}, request.Picture{Image: d.Mask.Image}, "luma"
	if d.Box != nil {
		r.MaskImage.Image = boxOf(d, finished.Bounds())
	}
	r.Inpaint = request.Inpaint{OnlyMasked: true, Blur: *d.Blur, Padding: d.Padding}
	r.Width, r.Height, r.Strength, r.NumInferenceSteps = d.Width, d.Height, d.Strength, d.Steps
	r.RefinerMode, r.RefinerStart, r.RefinerStrength, r.RefinerSteps = request.RefinerNone, 0, 0, 0
	r.Hires, r.Outpaint, r.Seamless = request.Hires{}, request.Outpaint{}, ""
	r.Details, r.Regions, r.PromptWeight, r.RegionMode, r.ControlNets, r.IPAdapters = nil, nil, 0, "", nil, nil
	r.Noise, r.Latents, r.DenoisingStart, r.DenoisingEnd = request.Array{}, request.Array{}, 0, 0
	r.OriginalSize, r.TargetSize, r.CropsCoordsTopLeft = request.Size{}, request.Size{}, request.Point{}
	r.NegativeOriginalSize, r.NegativeTargetSize, r.NegativeCropsCoordsTopLeft = request.Size{}, request.Size{}, request.Point{}
	r.Styles, r.PromptFile = nil, ""
	return r
}

// boxOf is the mask of a part: white where it is, in a picture of the finished one's size.
func boxOf(d request.Detail, size image.Rectangle) *image.Gray {
	b := d.Share(size.Dx(), size.Dy())
	at := func(share float64, n int) int { return int(math.Round(share * float64(n))) }
	white := image.Rect(at(b[0], size.Dx()), at(b[1], size.Dy()), at(b[2], size.Dx()), at(b[3], size.Dy()))
	mask := image.NewGray(image.Rect(0, 0, size.Dx(), size.Dy()))
	draw.Draw(mask, white, image.NewUniform(color.White), image.Point{}, draw.Src)
	return mask
}

// finalSize is the size of the finished picture.
func finalSize(r *request.Request) image.Rectangle {
	w, h := largestPass(r)
	if r.OnlyMasked() && r.InitImage.Image != nil {
		w, h = r.InitImage.Image.Bounds().Dx(), r.InitImage.Image.Bounds().Dy()
	}
	return image.Rect(0, 0, w, h)
}

// FinalSize is the width and height of the finished picture.
func (p *Prepared) FinalSize() (w, h int) {
	s := finalSize(&p.Request)
	return s.Dx(), s.Dy()
}

// prepareOne resolves a request whose texts are the same for all its pictures.
func (t *Target) prepareOne(req request.Request, sizes bool) (*Prepared, error) {
	p, err := t.resolve(req, sizes)
	if err == nil {
		err = t.prepareDetails(p)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// prepareDetails resolves the passes over parts of the finished picture, with pictures that have a size only.
func (t *Target) prepareDetails(p *Prepared) error {
	var errs request.Errors
	size := finalSize(&p.Request)
	for k, d := range p.Request.Details {
		key := fmt.Sprintf("detail[%d].", k)
		if d.Box != nil {
			if b := d.Share(size.Dx(), size.Dy()); b[2] > 1 || b[3] > 1 {
				errs.Add(key+"box", "is %v, and the picture is %d x %d: the part reaches outside", *d.Box, size.Dx(), size.Dy())
				continue
			}
		}
		for name, text := range map[string]string{"prompt": d.Prompt, "negative_prompt": d.NegativePrompt} {
			if _, tags, _ := prompt.ExtractLoRA(text); len(tags) > 0 && p.Request.PromptSyntax != request.SyntaxPlain {
				errs.Add(key+name, "names the LoRA %q; name it in prompt, or in a [[lora]] table, and it acts here, too", tags[0].Name)
			}
		}
		r := p.Detail(k, k, nil, size, p.Request.Seed)
		if d.Box != nil || d.Detector != "" {
			r.MaskImage.Image = size
		}
		if draws(&r) {
			errs.Add(key+"prompt", "has wildcards or variants, which are drawn in prompt only; write what the part shows")
			continue
		}
		one, err := t.resolve(r, true)
		if found, ok := err.(request.Errors); ok {
			for _, e := range found {
				e.Path = key + strings.TrimPrefix(e.Path, "inpaint.")
				errs = append(errs, e)
			}
			continue
		} else if err != nil {
			return err
		}
		if d.Detector != "" {
			if one.Finder = t.finder(d, key, &errs); one.Finder == nil {
				continue
			}
		}
		p.Details = append(p.Details, one)
		for _, w := range one.Warnings {
			if !slices.Contains(p.Warnings, w) {
				p.Warnings = append(p.Warnings, w)
			}
		}
	}
	return errs.Err()
}

// AllSteps counts the steps of each picture with those over its parts. What a detector finds counts as one part, however many there are.
func (p *Prepared) AllSteps() int {
	n := p.Steps
	for _, d := range p.Details {
		n += d.Steps
	}
	return n
}
