package pipeline

import (
	"cmp"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// manifestIPAdapter says how one IP-Adapter took part; see request.IPAdapter.
type manifestIPAdapter struct {
	Name         string         `json:"name"` // of its file or folder
	Source       *Source        `json:"source,omitempty"`
	ImageEncoder string         `json:"image_encoder,omitempty"`
	Images       []string       `json:"images,omitempty"`
	Embeds       string         `json:"embeds,omitempty"`
	Faces        string         `json:"faces,omitempty"`
	Masks        []string       `json:"masks,omitempty"`
	Weight       float64        `json:"weight"`
	BlockWeights map[string]any `json:"block_weights,omitempty"`
	Start        float64        `json:"start"`
	End          float64        `json:"end"`
	Shortcut     *float64       `json:"shortcut,omitempty"`
}

// manifestIPAdapters describes a request's IP-Adapters with their defaults.
func (r *Result) manifestIPAdapters() (out []manifestIPAdapter) {
	encoder := ""
	if r.model != nil {
		encoder = r.model.config.ImageEncoder
	}
	names := func(pictures []request.Picture) (out []string) {
		for _, p := range pictures {
			out = append(out, inputName(p.Path, !p.IsZero()))
		}
		return out
	}
	for _, a := range r.Request.IPAdapters {
		m := manifestIPAdapter{Name: ModelName(a.Model), Source: SourceOf(a.Model), ImageEncoder: ModelName(cmp.Or(a.ImageEncoder, encoder)),
			Images: names(a.Images), Masks: names(a.Masks), Embeds: inputName(a.Embeds.Path, !a.Embeds.IsZero()),
			Faces: inputName(a.Faces.Path, !a.Faces.IsZero()), Weight: 1, BlockWeights: a.BlockWeights, Start: a.Start,
			End: cmp.Or(a.End, 1), Shortcut: a.Shortcut}
		if a.Weight != nil {
			m.Weight = *a.Weight
		}
		out = append(out, m)
	}
	return out
}
