package prepare

import (
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Texts are a request's texts.
type Texts struct{ Prompt, Prompt2, NegativePrompt, NegativePrompt2 string }

// textsOf returns a request's texts.
func textsOf(r *request.Request) Texts {
	return Texts{r.Prompt, r.Prompt2, r.NegativePrompt, r.NegativePrompt2}
}

// in puts texts into a request.
func (t Texts) in(r *request.Request) {
	r.Prompt, r.Prompt2, r.NegativePrompt, r.NegativePrompt2 = t.Prompt, t.Prompt2, t.NegativePrompt, t.NegativePrompt2
}
