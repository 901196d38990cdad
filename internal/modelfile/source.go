package modelfile

import (
	"os"
	"strings"

	"github.com/daguerre-go/daguerre/internal/fault"
)

// source is a file or folder whose headers were read, and what is known of its tensors.
type source struct {
	path   string
	files  []*File
	owner  []string // component of each file in a folder, "" in a single file
	parts  []*part
	dims   Dims
	folder *Folder // nil for a file
	only   string  // the component that is wanted; "" for all
	scaled *ScaledReport

	left []Unused // see leftovers
}

func openSource(path string) (*source, error) { return openSourceOf("", path) }

// openSourceOf opens a source for one component, whose files alone are read of a pipeline's folder; "" for all.
func openSourceOf(component, path string) (*source, error) {
	s := &source{path: path, only: component}
	if err := fault.Catch(func() { s.open(); s.readScales() }); err != nil {
		s.close()
		return nil, err
	}
	s.understand()
	return s, nil
}

func (s *source) open() {
	if st, err := os.Stat(s.path); err == nil && st.IsDir() {
		s.openFolder()
		return
	}
	s.add(s.path, "")
	s.parts = locate(newTable(0, s.files...))
}

func (s *source) add(path, component string) {
	s.files, s.owner = append(s.files, fault.Value(Open(path))), append(s.owner, component)
}

// understand reads the dimensions off the parts and claims their tensors.
func (s *source) understand() {
	s.dims, s.left = infer(s.parts), nil
	for _, p := range s.parts {
		p.claims, p.missing = nil, nil
		p.claim(s.dims)
	}
}

func (s *source) openFolder() {
	folder := folderFiles(s.path, s.only)
	s.folder = &folder
	for _, c := range folder.Components {
		first := len(s.files)
		for _, path := range c.Files {
			s.add(path, c.Name)
		}
		p := partFor(locate(newTable(first, s.files[first:]...)), c.Name)
		if p == nil {
			panic(&Error{Kind: ErrFormat, Path: c.Files[0], Found: "holds no tensors of a " + c.Name, Remedy: "put the right file in the folder"})
		}
		s.parts = append(s.parts, p)
	}
}

// partFor returns the part of a component's name; nil if there is none. A text encoder by itself does not know which of the two it is.
func partFor(parts []*part, component string) *part {
	var texts []*part
	for _, p := range parts {
		if p.component == component {
			return p
		}
		if isTextEncoder(p.component) {
			texts = append(texts, p)
		}
	}
	if len(texts) != 1 || !isTextEncoder(component) {
		return nil
	}
	texts[0].component = component
	return texts[0]
}

func (s *source) close() {
	for _, f := range s.files {
		_ = f.Close() // opened for reading
	}
}

// config is what the source states beside its weights.
func (s *source) config() (Config, error) {
	if s.folder != nil {
		return s.folder.config()
	}
	return s.files[0].config(s.parts)
}

// belongs returns the index of the part a tensor belongs to, len(parts) for none: by the folder, or by the
// longest matching prefix.
func (s *source) belongs(owner, name string) int {
	name = plainName(name)
	best := len(s.parts)
	for i, p := range s.parts {
		if owner != "" {
			if p.component == owner {
				return i
			}
			continue
		}
		prefix := strings.TrimSuffix(p.prefix, "text_model.")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if prefix == "" && isMarker(name) {
			continue
		}
		if best == len(s.parts) || len(prefix) > len(strings.TrimSuffix(s.parts[best].prefix, "text_model.")) {
			best = i
		}
	}
	return best
}

// claimed returns the claim on each tensor of each file; nil where there is none.
func (s *source) claimed() [][]*claim {
	out := make([][]*claim, len(s.files))
	for i, f := range s.files {
		out[i] = make([]*claim, len(f.Tensors))
	}
	for _, p := range s.parts {
		for i := range p.claims {
			c := &p.claims[i]
			out[c.file][c.index] = c
		}
	}
	return out
}

// layoutOf is that of the parts' names. Text encoders with transformers' names, which both layouts have, count where nothing else does.
func layoutOf(parts []*part) Layout {
	layout, text := Layout(""), Layout("")
	for _, p := range parts {
		switch {
		case isTextEncoder(p.component) && !p.openCLIP:
			text = p.layout
		case layout != "" && p.layout != layout:
			return LayoutMixed
		default:
			layout = p.layout
		}
	}
	if layout == "" {
		return text
	}
	return layout
}
