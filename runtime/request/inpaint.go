package request

import "cmp"

// The ways to fill the masked part before it is painted, as A1111 names them.
const (
	FillOriginal      = "original"       // what is there
	FillBlurred       = "fill"           // the colours around it
	FillLatentNoise   = "latent_noise"   // noise in the latents
	FillLatentNothing = "latent_nothing" // zeros in the latents
)

// defaultMaskPadding is the pixels that stand for an absent Inpaint.Padding.
const defaultMaskPadding = 32

// Inpaint says how the part that mask_image marks is repainted: the [inpaint] table. A zero field means what its default tag says.
type Inpaint struct {
	Blur       float64 `json:"blur,omitempty" key:"blur" default:"0"`
	Invert     bool    `json:"invert,omitempty" key:"invert" default:"false"`
	OnlyMasked bool    `json:"only_masked,omitempty" key:"only_masked" default:"false"`
	Padding    *int    `json:"padding,omitempty" key:"padding" default:"32"`
	Fill       string  `json:"fill,omitempty" key:"fill" default:"original"`
	Soft       bool    `json:"soft,omitempty" key:"soft" default:"false"`
	PasteBack  *bool   `json:"paste_back,omitempty" key:"paste_back" default:"true"`
}

// Filled returns i with every default filled in.
func (i Inpaint) Filled() Inpaint {
	i.Fill = cmp.Or(i.Fill, FillOriginal)
	i.PasteBack = cmp.Or(i.PasteBack, new(true))
	if i.OnlyMasked {
		i.Padding = cmp.Or(i.Padding, new(defaultMaskPadding))
	}
	return i
}

// OnlyMasked reports whether a part of init_image is cut out, painted at the request's size, and put back.
func (r Request) OnlyMasked() bool { return r.Inpaint.OnlyMasked && !r.MaskImage.IsZero() }

func (r Request) validateInpaint(c checker) {
	i := r.Inpaint
	if i == (Inpaint{}) {
		return
	}
	switch {
	case r.MaskImage.IsZero():
		c.lacks("inpaint", "there is no mask_image it could apply to; give one, or leave inpaint out")
	case r.Outpaint.On():
		c.fail("inpaint", "cannot be used with outpaint, which lays out its own mask; leave one of them out, or make two jobs")
	}
	if i.Padding != nil && !i.OnlyMasked {
		c.fail("inpaint.padding", "there is nothing that it could be around; set only_masked = true, or leave it out")
	}
	if i.OnlyMasked && i.PasteBack != nil && !*i.PasteBack {
		c.fail("inpaint.paste_back", "is false, and only_masked has to put the part back that it cuts out; leave one of them out")
	}
	if !r.Latents.IsZero() || r.DenoisingEnd != 0 && i.OnlyMasked {
		c.fail("inpaint", "needs a whole picture; latents and denoising_end make parts of one")
	}
}
