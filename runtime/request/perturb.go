package request

import "cmp"

// The values that stand for absent fields of PAG and SEG.
const (
	defaultPerturbedLayers = "mid"
	defaultBlurSigma       = 9999999.0 // SEG's: each query is the mean of all
)

// PAG is perturbed-attention guidance (arXiv 2403.17377): the [pag] table. Its zero value is none.
type PAG struct {
	Scale         float64  `json:"scale,omitempty" key:"scale"`
	AdaptiveScale float64  `json:"adaptive_scale,omitempty" key:"adaptive_scale" default:"0.0"`
	AppliedLayers []string `json:"applied_layers,omitempty" key:"applied_layers" default:"mid"`
	Start         float64  `json:"start,omitempty" key:"start" default:"0.0"`
	End           float64  `json:"end,omitempty" key:"end" default:"1.0"`
}

// SEG is smoothed energy guidance (arXiv 2408.00760): the [seg] table. Its zero value is none.
type SEG struct {
	Scale         float64  `json:"scale,omitempty" key:"scale"`
	BlurSigma     float64  `json:"blur_sigma,omitempty" key:"blur_sigma" default:"9999999.0"`
	AppliedLayers []string `json:"applied_layers,omitempty" key:"applied_layers" default:"mid"`
	Start         float64  `json:"start,omitempty" key:"start" default:"0.0"`
	End           float64  `json:"end,omitempty" key:"end" default:"1.0"`
}

// FreeU weakens the skips of the UNet (s1, s2) and strengthens its backbone (b1, b2) in the first and second block of the way up
// (arXiv 2309.11497): the [freeu] table. Its zero value is none.
type FreeU struct {
	S1 *float64 `json:"s1,omitempty" key:"s1"`
	S2 *float64 `json:"s2,omitempty" key:"s2"`
	B1 *float64 `json:"b1,omitempty" key:"b1"`
	B2 *float64 `json:"b2,omitempty" key:"b2"`
}

// On reports whether there is perturbed-attention guidance.
func (p PAG) On() bool { return p.Scale > 0 }

// On reports whether there is smoothed energy guidance.
func (s SEG) On() bool { return s.Scale > 0 }

// On reports whether FreeU is used.
func (f FreeU) On() bool { return f != FreeU{} }

// Filled returns p with every default filled in.
func (p PAG) Filled() PAG {
	if p.On() {
		p.AppliedLayers, p.End = layersOr(p.AppliedLayers), cmp.Or(p.End, 1)
	}
	return p
}

// Filled returns s with every default filled in.
func (s SEG) Filled() SEG {
	if s.On() {
		s.AppliedLayers, s.End, s.BlurSigma = layersOr(s.AppliedLayers), cmp.Or(s.End, 1), cmp.Or(s.BlurSigma, defaultBlurSigma)
	}
	return s
}

func layersOr(layers []string) []string {
	if len(layers) == 0 {
		return []string{defaultPerturbedLayers}
	}
	return layers
}

func (p PAG) validate(c checker) {
	perturbed(c, p.Scale, p.AdaptiveScale != 0 || p.AppliedLayers != nil, p.Start, p.End)
}

func (s SEG) validate(c checker) {
	perturbed(c, s.Scale, s.BlurSigma != 0 || s.AppliedLayers != nil, s.Start, s.End)
}

// perturbed checks what PAG and SEG have in common. more says that one of their own keys is given.
func perturbed(c checker, scale float64, more bool, start, end float64) {
	if scale == 0 && (more || start != 0 || end != 0) {
		c.lacks("scale", "is missing; give one, such as 3.0, or leave the table out")
	}
	if end != 0 && start >= end {
		c.fail("start", "is %v, not before end, which is %v: it would never act", start, end)
	}
}

func (f FreeU) validate(c checker) {
	for _, x := range []struct {
		key   string
		value *float64
	}{{"s1", f.S1}, {"s2", f.S2}, {"b1", f.B1}, {"b2", f.B2}} {
		if f.On() && x.value == nil {
			c.lacks(x.key, "is missing; give s1, s2, b1 and b2 (for SDXL 0.9, 0.2, 1.3 and 1.4)")
		}
	}
}
