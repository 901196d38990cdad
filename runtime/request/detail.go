package request

import (
	"cmp"
	"slices"
)

// The values that stand for absent fields of Detail: ADetailer's.
const (
	defaultDetailStrength = 0.4
	defaultDetailBlur     = 4.0
	defaultDetailPadding  = 32
	defaultConfidence     = 0.3
	defaultDilation       = 4
)

// maxDetails bounds the parts of a picture that are painted again: each is a run of its own.
const maxDetails = 32

// Detail is a part of the finished picture that is cut out, painted again at a size of its own, and put back: a [[detail]] table. The web
// UIs' ADetailer does so.
type Detail struct {
	Box            *[4]float64 `key:"box"`      // as Region.Box, of the finished picture
	Mask           Picture     `key:"mask"`     // instead of Box
	Detector       string      `key:"detector"` // finds the parts, instead of Box and Mask
	Confidence     float64     `key:"confidence" default:"0.3"`
	Classes        []int       `key:"classes" default:"all"`   // of what Detector finds
	Largest        int         `key:"largest" default:"all"`   // how many of what Detector finds
	Dilation       *int        `key:"dilation" default:"4"`    // of what Detector finds, in pixels
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
	if d.Detector != "" {
		d.Confidence, d.Dilation = cmp.Or(d.Confidence, defaultConfidence), cmp.Or(d.Dilation, new(defaultDilation))
	}
	d.Width, d.Height, d.Steps = cmp.Or(d.Width, r.Width), cmp.Or(d.Height, r.Height), cmp.Or(d.Steps, r.NumInferenceSteps)
	return d
}

func (d Detail) validate(c checker) {
	if d.Detector == "" {
		for key, given := range map[string]bool{"confidence": d.Confidence != 0, "classes": len(d.Classes) > 0, "largest": d.Largest != 0,
			"dilation": d.Dilation != nil} {
			if given {
				c.fail(key, "says what a detector finds, and there is none; name one as detector, or leave it out")
			}
		}
	}
	if slices.ContainsFunc(d.Classes, func(n int) bool { return n < 0 }) {
		c.fail("classes", "is %v; classes are numbers from 0 on", d.Classes)
	}
	switch {
	case d.Detector != "" && (d.Box != nil || !d.Mask.IsZero()):
		c.fail("detector", "is given beside box or mask; leave one of them out")
	case d.Detector != "":
	case d.Box == nil && d.Mask.IsZero():
		c.lacks("box", "is missing; say what is painted again, as box = [0.4, 0.1, 0.6, 0.3], by a mask, or by a detector")
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
