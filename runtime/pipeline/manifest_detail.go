package pipeline

import "github.com/daguerre-go/daguerre/runtime/request"

// manifestDetail says which part of the finished picture was painted again, and how; see request.Detail.
type manifestDetail struct {
	Box            *[4]float64 `json:"box,omitempty"`
	Mask           string      `json:"mask,omitempty"`
	Detector       string      `json:"detector,omitempty"`
	Confidence     float64     `json:"confidence,omitempty"`
	Classes        []int       `json:"classes,omitempty"`
	Largest        int         `json:"largest,omitempty"`
	Dilation       *int        `json:"dilation,omitempty"`
	Prompt         string      `json:"prompt,omitempty"`
	NegativePrompt string      `json:"negative_prompt,omitempty"`
	Strength       float64     `json:"strength"`
	Blur           float64     `json:"blur"`
	Padding        int         `json:"padding"`
	Width          int         `json:"width"`
	Height         int         `json:"height"`
	Steps          int         `json:"steps"`
}

// manifestDetails describes a request's passes over parts, with their defaults.
func manifestDetails(r *request.Request) (out []manifestDetail) {
	for _, d := range r.Details {
		d = d.Filled(r)
		out = append(out, manifestDetail{d.Box, inputName(d.Mask.Path, !d.Mask.IsZero()), baseName(d.Detector), d.Confidence,
			d.Classes, d.Largest, d.Dilation, d.Prompt, d.NegativePrompt, d.Strength, *d.Blur,
			*d.Padding, d.Width, d.Height, d.Steps})
	}
	return out
}
