package plan

import (
	"errors"
	"slices"

	"github.com/daguerre-go/daguerre/internal/detect"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Job puts a prepared request into the terms of package memory.
func (p *Planner) Job(prep *prepare.Prepared) (memory.Job, error) {
	r := &prep.Request
	j := memory.Job{Images: r.NumImages, Batch: r.MaxBatch, Prompts: max(prep.Variety, 1),
		Guidance: p.Info.UNet.Halves(r.Guided()) || prep.Refines && r.Guided(), GuidanceBatch: r.GuidanceBatch,
		Chunks: max(prep.Tokens[0], prep.Tokens[1], prep.Tokens[2]), Encode: !r.InitImage.IsZero(), Refine: prep.Refines,
		Previews: p.Sources.HasTAESD(), FastDecode: p.Sources.HasTAESD() && p.Fast, Together: p.Policy.Slicing == vae.Off}
	if p.Separate && j.GuidanceBatch == request.GuidanceAuto {
		j.GuidanceBatch = request.GuidanceSeparate
	}
	j.Parts, j.Texts, j.Change = prep.Parts, prep.Said, prep.Change
	j.Alike, j.AlikeParts = sharedTexts(prep, true), sharedTexts(prep, false)
	if r.Attends() {
		j.Parts, j.Beside = 1, prep.Parts-1
		j.Alike, j.AlikeParts = 0, 0 // a picture has one text of each kind in a row of its own
	}
	j.Width, j.Height = prep.LargestPass() // it is the one that has to fit
	if d := r.TiledDiffusion; d.On() {
		j.Tile = [2]int{d.TileHeight, d.TileWidth}
	}
	if h := r.Hires; h.On() {
		j.Second = true
		j.Enlarge = h.Upscaler != request.UpscaleLatent && h.Upscaler != request.UpscaleLatentNearest
		if h.Upscaler == request.UpscaleModel {
			j.Upscale = [2]int{r.Height, r.Width}
		}
	}
	for _, d := range prep.Details {
		j.Encode = true
		j.Width, j.Height = max(j.Width, d.Request.Width), max(j.Height, d.Request.Height)
		if f := d.Finder; f != nil && !slices.ContainsFunc(j.Detectors, func(known memory.Detecting) bool { return known.Path == f.Path }) {
			w, h := prep.FinalSize()
			seen := memory.Detecting{Path: f.Path}
			seen.Height, seen.Width = detect.Shape(w, h)
			j.Detectors = append(j.Detectors, seen)
		}
		j.Chunks = max(j.Chunks, d.Tokens[0], d.Tokens[1], d.Tokens[2])
	}
	if most := p.Memory.MaxBatch; most > 0 {
		j.Batch = min(j.Batch, most)
	}
	joined := map[string]int{}
	for i, c := range prep.Controls {
		j.Controls = append(j.Controls, c.Path)
		j.OneSided = j.OneSided || c.OneSided()
		if n := len(prepare.Together(prep.Controls, i)); n > 1 {
			joined[c.Path] = n
		}
	}
	j.Joined = joined
	switch r.Reuse.Way() {
	case "deepcache":
		j.Keep, j.Branch = backend.KeepDeep, r.Reuse.Branch
	case "tgate":
		j.Keep = backend.KeepTextAttention
	}
	for i := range prep.IPAdapters {
		if a := &prep.IPAdapters[i]; a.Acts() {
			j.Shown = append(j.Shown, shownOf(a))
		}
	}
	base, refiner, wrong := prep.Guided()
	j.Guided, j.RefinerGuided = memory.Guided(base), memory.Guided(refiner)
	var err error
	j.Adapters, err = p.adaptersOf(prep.Adapters)
	return j, errors.Join(wrong, err)
}

// sharedTexts counts the prompts of regions that are equal to another one, with the negative prompt or without it.
func sharedTexts(prep *prepare.Prepared, negative bool) (n int) {
	r := &prep.Request
	if r.Prompt2 != "" || r.NegativePrompt2 != "" {
		return 0
	}
	known := map[string]bool{r.NegativePrompt: negative && r.Guided()}
	if !prep.Alone {
		known[r.Prompt] = true
	}
	for _, g := range r.Regions {
		if known[g.Prompt] {
			n++
		}
		known[g.Prompt] = true
	}
	return n
}

// shownOf is what an IP-Adapter takes.
func shownOf(a *prepare.IPAdapter) memory.Shown {
	s := memory.Shown{Adapter: a.Path, Encoder: a.Encoder, Pictures: a.Pictures(), EmbedTokens: 1, Prompts: 1, Masks: len(a.Masks) > 0}
	if a.Dims.Plus() {
		s.EmbedTokens = max(a.EncoderTokens, 1)
		if len(a.Embeds.Shape) > 3 {
			s.EmbedTokens = a.Embeds.Shape[2]
		}
	}
	s.Tokens = s.Pictures * a.Dims.Tokens
	if len(a.Masks) > 1 {
		s.Prompts, s.Tokens = s.Pictures, a.Dims.Tokens
	}
	for _, c := range a.Dims.Layers {
		s.Values += 2 * c
	}
	return s
}
