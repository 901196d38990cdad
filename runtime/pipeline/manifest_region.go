package pipeline

import "github.com/daguerre-go/daguerre/runtime/request"

// manifestRegion says what one region showed and where; see request.Region.
type manifestRegion struct {
	Prompt string      `json:"prompt"`
	Box    *[4]float64 `json:"box,omitempty"`
	Mask   string      `json:"mask,omitempty"`
	Weight float64     `json:"weight"`
}

// manifestRegions describes a request's regions with their defaults.
func manifestRegions(r *request.Request) (out []manifestRegion) {
	for _, g := range r.Regions {
		m := manifestRegion{Prompt: g.Prompt, Box: g.Box, Mask: inputName(g.Mask.Path, !g.Mask.IsZero()), Weight: 1}
		if g.Weight != nil {
			m.Weight = *g.Weight
		}
		out = append(out, m)
	}
	return out
}
