package prepare

import (
	"math/rand/v2"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// Prepare resolves a request. Errors are request.Errors. Preparing Prepared.Request again changes nothing.
func (t *Target) Prepare(req request.Request) (*Prepared, error) { return t.prepare(req, false) }

// PrepareSize is Prepare without decoding input pictures, for plans: what it returns makes no picture.
func (t *Target) PrepareSize(req request.Request) (*Prepared, error) { return t.prepare(req, true) }

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
			req.IPAdapters = p.Request.IPAdapters
			for i, g := range p.Request.Regions {
				req.Regions[i].Mask = g.Mask
			}
			req.Noise, req.Latents = p.Request.Noise, p.Request.Latents
		}
		if list[i] = p; p.Tokens[0]*p.Parts > list[most].Tokens[0]*list[most].Parts {
			most = i
		}
	}
	if sizes {
		list[most].Variety = len(known)
		return list[most], nil
	}
	first := *list[0]
	first.Pictures, first.Variety = list, len(known)
	return &first, nil
}

// keep has a prepared request say what it was asked for, beside what was made of it.
func (p *Prepared) keep(said request.Request, book phrasebook) {
	drawn := textsOf(&p.Request)
	p.Drawn, p.Phrases = &drawn, append(book.wildcards.Files(), book.files...)
	textsOf(&said).in(&p.Request)
	p.Request.Styles = said.Styles
}
