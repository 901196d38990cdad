package prepare

import (
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/daguerre-go/daguerre/internal/phrases"
	"github.com/daguerre-go/daguerre/runtime/prompt"
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

// prepare resolves a request. If its texts are drawn, or have styles, what each picture's seed draws is resolved by itself.
func (t *Target) prepare(req request.Request, sizes bool) (*Prepared, error) {
	said := req
	var errs request.Errors
	if req.PromptFile != "" {
		errs.Add("prompt_file", "makes a job of each line of a file, which only commands do; send a job for each line")
		return nil, errs
	}
	book, err := openPhrases(&req, t.WildcardDirectories, t.StyleFiles)
	if err != nil {
		errs.AddFile("styles", "%v", err)
		return nil, errs
	}
	here := func(key string) string { return key }
	req = book.styled(req, here, &errs)
	if !draws(&req) {
		if err := errs.Err(); err != nil {
			return nil, err
		}
		p, err := t.prepareOne(req, sizes)
		if err == nil && len(said.Styles) > 0 {
			p.keep(said, book)
		}
		return p, err
	}
	book.check(&req, here, &errs)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	if req.Seed < 0 {
		req.Seed = int64(rand.Uint32())
		said.Seed = req.Seed
	}
	return t.prepareDrawn(said, req, book, sizes)
}

// mostPlanned is how many pictures' texts a plan looks at.
const mostPlanned = 64

// prepareDrawn resolves what each picture of a request draws. said is the request as it was asked for. For plans the pictures with the
// longest texts stand for all.
func (t *Target) prepareDrawn(said, req request.Request, book phrasebook, sizes bool) (*Prepared, error) {
	count := max(req.NumImages, 1)
	if sizes {
		count = min(count, mostPlanned)
	}
	list, known := make([]*Prepared, count), map[Texts]*Prepared{}
	most := 0
	for i := range list {
		one := req
		var errs request.Errors
		book.draw(&one, req.Seed+int64(i), &errs)
		if err := errs.Err(); err != nil {
			return nil, err
		}
		p := known[textsOf(&one)]
		if p == nil {
			var err error
			if p, err = t.prepareOne(one, sizes); err != nil {
				return nil, err
			}
			known[textsOf(&one)] = p
			p.keep(said, book)
			req.InitImage, req.MaskImage, req.ControlNets = p.Request.InitImage, p.Request.MaskImage, p.Request.ControlNets // read once
			req.Noise, req.Latents = p.Request.Noise, p.Request.Latents
		}
		if list[i] = p; p.Tokens[0]*p.Parts > list[most].Tokens[0]*list[most].Parts {
			most = i
		}
	}
	if sizes {
		return list[most], nil
	}
	first := *list[0]
	first.Pictures = list
	return &first, nil
}

// keep has a prepared request say what it was asked for, beside what was made of it.
func (p *Prepared) keep(said request.Request, book phrasebook) {
	drawn := textsOf(&p.Request)
	p.Drawn, p.Phrases = &drawn, append(book.wildcards.Files(), book.files...)
	textsOf(&said).in(&p.Request)
	p.Request.Styles = said.Styles
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
