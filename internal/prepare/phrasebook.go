package prepare

import (
	"errors"
	"slices"

	"github.com/daguerre-go/daguerre/internal/phrases"
	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// phrasebook is what texts are made of besides themselves.
type phrasebook struct {
	wildcards *phrases.Wildcards
	styles    *phrases.Styles
	files     []string // of styles
}

// openPhrases reads the files of styles that a request names styles of. Wildcards are read when they are named.
func openPhrases(r *request.Request, directories, styleFiles []string) (b phrasebook, err error) {
	b.wildcards, b.styles = phrases.NewWildcards(directories...), &phrases.Styles{}
	if len(r.Styles) > 0 && len(styleFiles) > 0 {
		b.files = styleFiles
		b.styles, err = phrases.ReadStyles(styleFiles...)
	}
	return b, err
}

// styled returns a request whose prompts have its styles. Mistakes are added to errs.
func (b phrasebook) styled(r request.Request, at func(string) string, errs *request.Errors) request.Request {
	if len(r.Styles) == 0 {
		return r
	}
	one, negative, err := b.styles.Apply(r.Styles, r.Prompt, r.NegativePrompt)
	if err != nil {
		errs.AddFile(at("styles"), "%v", err)
		return r
	}
	if negative != r.NegativePrompt {
		r.NegativePrompt = negative
	}
	r.Prompt, r.Styles = one, nil
	return r
}

// draws reports whether a request's texts depend on the seed.
func draws(r *request.Request) bool {
	return r.PromptSyntax != request.SyntaxPlain && slices.ContainsFunc(prompts(r), func(p keyedText) bool { return prompt.Draws(*p.text) })
}

// check reads all that a request's texts can yield. Mistakes are added to errs.
func (b phrasebook) check(r *request.Request, at func(string) string, errs *request.Errors) {
	for _, p := range prompts(r) {
		addDrawError(errs, at(p.key), prompt.CheckDraws(*p.text, b.wildcards.Lines))
	}
}

// draw replaces a request's texts by what a seed draws. Mistakes are added to errs.
func (b phrasebook) draw(r *request.Request, seed int64, errs *request.Errors) {
	for _, p := range prompts(r) {
		text, err := prompt.Draw(*p.text, uint64(seed), b.wildcards.Lines)
		addDrawError(errs, p.key, err)
		*p.text = text
	}
}

// addDrawError files a mistake of a text: one about a wildcard is about a file.
func addDrawError(errs *request.Errors, key string, err error) {
	switch {
	case err == nil:
	case errors.Is(err, prompt.ErrWildcard):
		errs.AddFile(key, "%v", err)
	default:
		errs.Add(key, "%v", err)
	}
}

// CheckTexts checks the styles, wildcards and variants of a run's jobs, and reads the files that they name. Errors are request.Errors.
func CheckTexts(run request.Run) error {
	var errs request.Errors
	for i, job := range run.Jobs {
		checkPhrases(job, run.Model, func(key string) string { return run.Path(i, key) }, &errs)
	}
	return errs.Err()
}

// checkPhrases checks a job's styles, wildcards and variants. It returns the job with its styles, and whether its texts are the same
// whatever the seed is.
func checkPhrases(job request.Request, m request.Model, at func(string) string, errs *request.Errors) (request.Request, bool) {
	book, err := openPhrases(&job, m.WildcardDirectories, m.StyleFiles)
	if err != nil {
		errs.AddFile(at("styles"), "%v", err)
		return job, false
	}
	job = book.styled(job, at, errs)
	if !draws(&job) {
		return job, true
	}
	book.check(&job, at, errs)
	return job, false
}
