package modelfile

import "strings"

// table holds the tensors of one or several files by name.
type table struct {
	tensors map[string]entry
}

type entry struct {
	Tensor
	path string
}

func newTable(files ...*File) *table {
	t := &table{tensors: map[string]entry{}}
	for _, f := range files {
		for _, x := range f.Tensors {
			t.tensors[x.Name] = entry{x, f.Path}
		}
	}
	return t
}

func (t *table) has(name string) bool { _, ok := t.tensors[name]; return ok }

// dim returns one dimension of a tensor; 0 if there is none.
func (t *table) dim(name string, i int) int {
	x, ok := t.tensors[name]
	if !ok || i >= len(x.Shape) || x.Shape[i] > 1<<31-1 {
		return 0
	}
	return int(x.Shape[i])
}

// part is a component found in a table.
type part struct {
	component string
	layout    Layout
	prefix    string // of its tensors' names; for CLIP it includes "text_model." where that is there
	table     *table
}

func (p *part) dim(name string, i int) int { return p.table.dim(p.prefix+name, i) }
func (p *part) has(name string) bool       { return p.table.has(p.prefix + name) }

// find returns the tensor of a Spec under any of its names.
func (p *part) find(s Spec) (entry, bool) {
	for _, name := range append([]string{s.Name}, s.Aliases...) {
		for _, full := range p.fullNames(name) {
			if x, ok := p.table.tensors[full]; ok {
				return x, true
			}
		}
	}
	return entry{}, false
}

func (p *part) fullNames(name string) []string {
	if name == projection {
		outer := strings.TrimSuffix(p.prefix, "text_model.")
		return []string{outer + "text_projection.weight", outer + "text_projection", p.prefix + "text_projection.weight"}
	}
	return []string{p.prefix + name}
}

// Prefixes under which the components occur in single files, by the programs that write them. The empty
// prefix is that of a component's own file and is tried last.
var (
	unetPrefixes = []string{"model.diffusion_model.", "unet.", "diffusion_model.", "model.", ""}
	vaePrefixes  = []string{"first_stage_model.", "vae.", ""}
	// CLIP with transformers' names; a prefix ends before "text_model.", which newer files leave out.
	clip1Prefixes = []string{"conditioner.embedders.0.transformer.", "cond_stage_model.transformer.", "text_encoder.",
		"text_encoders.clip_l.transformer.", "te.", "te1."}
	clip2Prefixes = []string{"text_encoder_2.", "conditioner.embedders.1.transformer.", "cond_stage_model.1.transformer.",
		"text_encoders.clip_g.transformer.", "text_encoder.2.", "te2."}
	openCLIPPrefixes = []string{"conditioner.embedders.1.model.", "conditioner.embedders.0.model.", "cond_stage_model.1.model.",
		"cond_stage_model.model.", ""}
)

// locate finds the components in a table.
func locate(t *table) []*part {
	var parts []*part
	add := func(p *part) {
		if p != nil {
			p.table = t
			parts = append(parts, p)
		}
	}
	if p := locateNetwork(t); p != nil {
		add(p)
		return parts
	}
	add(probe(t, "unet", unetPrefixes, "input_blocks.0.0.weight", "down_blocks.0.resnets.0.conv1.weight"))
	add(locateVAE(t))
	one, two := locateClip(t, clip1Prefixes), locateClip(t, clip2Prefixes)
	if two == nil {
		two = probe(t, "", openCLIPPrefixes, "transformer.resblocks.0.ln_1.weight", "")
	}
	if one == nil && two == nil {
		if one = locateClip(t, []string{""}); one != nil && looksSecond(t, one) {
			one, two = nil, one
		}
	}
	if one != nil {
		one.component = "text_encoder"
	}
	if two != nil {
		two.component = "text_encoder_2"
	}
	add(one)
	add(two)
	return parts
}

func probe(t *table, component string, prefixes []string, original, diffusers string) *part {
	for _, p := range prefixes {
		if original != "" && t.has(p+original) {
			return &part{component: component, layout: LayoutOriginal, prefix: p}
		}
		if diffusers != "" && t.has(p+diffusers) {
			return &part{component: component, layout: LayoutDiffusers, prefix: p}
		}
	}
	return nil
}

func locateVAE(t *table) *part {
	p := probe(t, "vae", vaePrefixes, "decoder.mid.block_1.conv1.weight", "decoder.mid_block.resnets.0.conv1.weight")
	if p == nil {
		p = probe(t, "vae", vaePrefixes, "encoder.mid.block_1.conv1.weight", "encoder.mid_block.resnets.0.conv1.weight")
	}
	return p
}

func locateClip(t *table, prefixes []string) *part {
	const token = "embeddings.token_embedding.weight"
	for _, p := range prefixes {
		for _, inner := range []string{"text_model.", ""} {
			if !t.has(p + inner + token) {
				continue
			}
			layout := LayoutDiffusers
			if strings.HasPrefix(p, "cond") {
				layout = LayoutOriginal
			}
			return &part{layout: layout, prefix: p + inner}
		}
	}
	return nil
}

// looksSecond tells OpenCLIP-bigG from CLIP-L in a file of one text encoder with transformers' names: by
// the published widths, else by the projection, which only the second has.
func looksSecond(t *table, p *part) bool {
	switch t.dim(p.prefix+"embeddings.token_embedding.weight", 1) {
	case 768:
		return false
	case 1280:
		return true
	}
	for _, name := range p.fullNames(projection) {
		if t.has(name) {
			return true
		}
	}
	return false
}

// components names the components in the file.
func (f *File) components() []string {
	var names []string
	for _, p := range locate(newTable(f)) {
		names = append(names, p.component)
	}
	return names
}
