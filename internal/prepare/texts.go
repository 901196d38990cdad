package prepare

import (
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// Texts are a request's texts.
type Texts struct {
	Prompt, Prompt2, NegativePrompt, NegativePrompt2 string

	regions string // their prompts, with NUL between them, which no prompt has
}

// Regions are the prompts of the regions.
func (t Texts) Regions() []string { return strings.Split(t.regions, "\x00") }

// textsOf returns a request's texts.
func textsOf(r *request.Request) Texts {
	var regions []string
	for _, g := range r.Regions {
		regions = append(regions, g.Prompt)
	}
	return Texts{r.Prompt, r.Prompt2, r.NegativePrompt, r.NegativePrompt2, strings.Join(regions, "\x00")}
}

// in puts texts into a request.
func (t Texts) in(r *request.Request) {
	r.Prompt, r.Prompt2, r.NegativePrompt, r.NegativePrompt2 = t.Prompt, t.Prompt2, t.NegativePrompt, t.NegativePrompt2
	r.Regions = slices.Clone(r.Regions)
	for i := range r.Regions {
		r.Regions[i].Prompt = t.Regions()[i]
	}
}
