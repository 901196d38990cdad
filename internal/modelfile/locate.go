package modelfile

import (
	"strings"
)

// Caps on counts that are read off names.
const (
	maxLevels = 8
	maxBlocks = 64
)

// table holds the tensors of one or several files by name.
type table struct {
	tensors map[string]entry
	spelled func(string) string // as the file writes a name; nil: as it is
	bare    []bare              // see bareNames
}

// entry is a tensor and the file that has it.
type entry struct {
	Tensor
	file, index int // of the source's files, and of the file's tensors
	path        string
}

func newTable(first int, files ...*File) *table {
	t := &table{tensors: map[string]entry{}}
	for i, f := range files {
		for k, x := range f.Tensors {
			name := plainName(x.Name)
			if t.has(name) {
				name = x.Name // both names are there: with a wrapper and without
			}
			t.tensors[name] = entry{x, first + i, k, f.Path}
		}
	}
	return t
}

// rename looks tensors up by other names than the file's; back is the way back.
func (t *table) rename(to, back func(string) string) {
	t.spelled, t.bare = back, nil
	tensors := make(map[string]entry, len(t.tensors))
	for name, x := range t.tensors {
		tensors[to(name)] = x
	}
	t.tensors = tensors
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
	openCLIP  bool   // a text encoder with OpenCLIP's names
	prefix    string // of its tensors' names; for CLIP it includes "text_model." where that is there
	table     *table
	paths     structure // of the names; see part.structure

	claims  []claim // the tensors it uses or knows
	missing []Spec
}

func (p *part) dim(name string, i int) int { return p.table.dim(p.prefix+name, i) }

// names is what names a part's tensors.
func (p *part) names() *specs {
	return &specs{component: p.component, diffusers: p.layout == LayoutDiffusers, openCLIP: p.openCLIP}
}

// claim is a tensor that a Spec describes.
type claim struct {
	Spec
	entry
}

// claim finds the tensor of every Spec.
func (p *part) claim(d Dims) {
	for _, s := range p.names().of(d) {
		if c, ok := p.find(s); ok {
			p.claims = append(p.claims, c)
		} else if !s.Optional {
			p.missing = append(p.missing, s)
		}
	}
}

// find returns the tensor of a Spec under any of its names.
func (p *part) find(s Spec) (claim, bool) {
	if x, ok := p.table.tensors[p.prefix+s.Name]; ok {
		return claim{s, x}, true
	}
	for _, name := range s.aliases {
		if x, ok := p.table.tensors[p.prefix+name]; ok {
			return claim{s, x}, true
		}
	}
	if !isTextEncoder(p.component) || !strings.HasPrefix(s.Name, "text_projection") {
		return claim{}, false
	}
	for _, name := range p.fullNames(s.Name) {
		x, ok := p.table.tensors[name]
		if !ok {
			continue
		}
		if isTransposed(name) != s.Canonical[0].Transpose {
			s.Canonical[0].Transpose = isTransposed(name)
			s.Shape[0], s.Shape[1] = s.Shape[1], s.Shape[0]
		}
		return claim{s, x}, true
	}
	return claim{}, false
}

// fullNames lists the names in the file under which a tensor may occur. A projection lies beside text_model or, in GGUF files, inside.
func (p *part) fullNames(name string) []string {
	if !strings.HasPrefix(name, "text_projection") {
		return []string{p.prefix + name}
	}
	outer := strings.TrimSuffix(p.prefix, "text_model.")
	return []string{outer + "text_projection.weight", outer + "text_projection", p.prefix + "text_projection.weight",
		p.prefix + "text_projection"}
}

// inFile is the name of a tensor in a file with the part's layout.
func (p *part) inFile(s Spec) string {
	name := p.prefix + s.Name
	if isTextEncoder(p.component) && strings.HasPrefix(s.Name, "text_projection") {
		name = strings.TrimSuffix(p.prefix, "text_model.") + s.Name
	}
	if p.table.spelled != nil {
		return p.table.spelled(name)
	}
	return name
}

// locate finds the components in a table. What is a file of its own has nothing beside it.
func locate(t *table) []*part {
	var parts []*part
	add := func(p *part) {
		if p != nil {
			p.table = t
			parts = append(parts, p)
		}
	}
	for _, a := range anatomies {
		if a.alone != nil && len(parts) == 0 {
			add(a.locate(t))
		}
	}
	if len(parts) > 0 {
		return parts
	}
	for _, a := range anatomies {
		if a.alone == nil && a.locate != nil {
			add(a.locate(t))
		}
	}
	one, two := locateTexts(t)
	add(one)
	add(two)
	for _, a := range anatomies {
		if a.seek != nil && len(parts) == 0 {
			add(a.seek(t))
		}
	}
	return parts
}

// probe finds a component by the name of one of its tensors in either layout, under one of the prefixes that programs write.
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
