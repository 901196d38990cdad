package request

import "cmp"

// The ways to combine the halves of guidance.
const (
	GuidanceCFG         = "cfg"           // classifier-free guidance (arXiv 2207.12598)
	GuidanceAPG         = "apg"           // adaptive projected guidance (arXiv 2410.02416)
	GuidanceCFGZeroStar = "cfg_zero_star" // CFG-Zero* (arXiv 2503.18886)
	GuidanceCFGPlusPlus = "cfg_plus_plus" // CFG++ (arXiv 2406.08070)
)

// The values that stand for absent fields of Guidance. The numbers are those of diffusers' guiders, and for CFG++ of its authors' program.
const (
	defaultNormThreshold      = 15.0
	defaultEta                = 1.0
	defaultZeroInitSteps      = 1
	DefaultPlusPlusGuidance   = 0.6
	LargestPlusPlusGuidance   = 2.0 // beyond which CFG++ is rarely meant
	a1111PlusPlusGuidanceUnit = 12.5
)

// Guidance says how the halves of guidance are combined: the [guidance] table. A zero field means what its default tag says.
type Guidance struct {
	Method        string   `json:"method,omitempty" key:"method" default:"cfg"`
	Momentum      float64  `json:"momentum,omitempty" key:"momentum" default:"0.0"`
	NormThreshold *float64 `json:"norm_threshold,omitempty" key:"norm_threshold" default:"15.0"`
	Eta           *float64 `json:"eta,omitempty" key:"eta" default:"1.0"`
	ZeroInitSteps *int     `json:"zero_init_steps,omitempty" key:"zero_init_steps" default:"1"`
}

// Filled returns g with the defaults of its method filled in.
func (g Guidance) Filled() Guidance {
	switch g.Method {
	case GuidanceAPG:
		g.NormThreshold = cmp.Or(g.NormThreshold, new(defaultNormThreshold))
		g.Eta = cmp.Or(g.Eta, new(defaultEta))
	case GuidanceCFGZeroStar:
		g.ZeroInitSteps = cmp.Or(g.ZeroInitSteps, new(defaultZeroInitSteps))
	}
	return g
}

// Guided reports whether the request wants guidance: with CFG++ at every scale.
func (r Request) Guided() bool {
	return r.GuidanceScale > 1 || r.Guidance.Method == GuidanceCFGPlusPlus
}

func (r Request) validateGuidance(c checker) {
	g := r.Guidance
	for _, x := range []struct {
		key, method string
		given       bool
	}{
		{"momentum", GuidanceAPG, g.Momentum != 0}, {"norm_threshold", GuidanceAPG, g.NormThreshold != nil},
		{"eta", GuidanceAPG, g.Eta != nil}, {"zero_init_steps", GuidanceCFGZeroStar, g.ZeroInitSteps != nil},
	} {
		if x.given && g.Method != x.method {
			c.fail("guidance."+x.key, "there is nothing that it could change without method = %q; write that, or leave it out", x.method)
		}
	}
}
