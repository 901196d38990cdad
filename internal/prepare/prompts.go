package prepare

import (
	"errors"
	"strings"

	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// checkPrompts checks the syntax of a request's prompts, which needs no tokenizer.
func checkPrompts(r request.Request, at func(string) string, errs *request.Errors) {
	if r.PromptSyntax == request.SyntaxPlain {
		return
	}
	for _, p := range prompts(&r) {
		rest, _, err := prompt.ExtractLoRA(*p.text)
		if err == nil && r.PromptSyntax != request.SyntaxComfyUI {
			_, err = prompt.Parse(rest)
		}
		if err != nil {
			errs.Add(at(p.key), "%v", err)
			return
		}
	}
	_, err := conditioning.Check(withoutTags(r))
	var own request.Errors
	if errors.As(err, &own) {
		for _, e := range own {
			errs.Add(at(e.Path), "%s", e.Message)
		}
	}
}

// withoutTags returns the request with its prompts as the text encoders are to read them.
func withoutTags(r request.Request) *request.Request {
	if r.PromptSyntax != request.SyntaxPlain {
		for _, p := range prompts(&r) {
			if rest, tags, err := prompt.ExtractLoRA(*p.text); err == nil && len(tags) > 0 {
				*p.text = strings.TrimSpace(rest)
			}
		}
	}
	return &r
}
