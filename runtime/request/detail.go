package request

import "cmp"

// The values that stand for absent fields of Detail: ADetailer's.
const (
	defaultDetailStrength = 0.4
	defaultDetailBlur     = 4.0
	defaultDetailPadding  = 32
)

// maxDetails bounds the parts of a picture that are painted again: each is a run of its own.
const maxDetails = 32

// Detail is a part of the finished picture that is cut out, painted again at a size of its own, and put back: a [[detail]] table. The web
// UIs' ADetailer does so.
type Detail struct {
	Box            *[4]float64 `key:"box"`                     // as Region.Box, of the finished picture
	Mask           Picture     `key:"mask"`                    // instead of Box
	Prompt         string      `key:"prompt" default:"prompt"` // what the part shows
	NegativePrompt string      `key:"negative_prompt" default:"negative_prompt"`
	Strength       float64     `key:"strength" default:"0.4"`
	Blur           *float64    `key:"blur" default:"4"`     // of the mask, in pixels
	Padding        *int        `key:"padding" default:"32"` // around it, in pixels
	Width          int         `key:"width" default:"width"`
	Height         int         `key:"height" default:"height"`
	Steps          int         `key:"steps" default:"num_inference_steps"`
}

// Filled returns d with every default filled in, which are r's where its own fields have them.
func (d Detail) Filled(r *Request) Detail {
	d.Strength = cmp.Or(d.Strength, defaultDetailStrength)
	d.Blur, d.Padding = cmp.Or(d.Blur, new(defaultDetailBlur)), cmp.Or(d.Padding, new(defaultDetailPadding))
	d.Width, d.Height, d.Steps = cmp.Or(d.Width, r.Width), cmp.Or(d.Height, r.Height), cmp.Or(d.Steps, r.NumInferenceSteps)
	return d
}

func (d Detail) validate(c checker) {
	switch {
	case d.Box == nil && d.Mask.IsZero():
		c.lacks("box", "is missing; say what is painted again, as box = [0.4, 0.1, 0.6, 0.3], or by a mask")
	case d.Box != nil && !d.Mask.IsZero():
		c.fail("box", "is given beside mask; leave one of them out")
	case d.Box != nil:
		if wrong := wrongBox(*d.Box); wrong != "" {
			c.fail("box", "is %v: %s", *d.Box, wrong)
		}
	}
}

func (r Request) validateDetails(c checker) {
	if len(r.Details) == 0 {
		return
	}
	if len(r.Details) > maxDetails {
		c.fail("detail", "has %d entries; at most %d are possible", len(r.Details), maxDetails)
	}
	if r.DenoisingEnd > 0 && r.DenoisingEnd < 1 {
		c.fail("detail", "cannot be used with denoising_end, which leaves the picture unfinished; leave one of them out")
	}
}
