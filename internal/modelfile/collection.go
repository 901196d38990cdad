package modelfile

// Collection is every tensor of a model file or diffusers folder, with what is known of its use. Close closes the files.
type Collection struct {
	Files   []*File
	Tensors []Used // in the order of the files
	Dims    Dims
}

// Used is one tensor of a Collection.
type Used struct {
	Tensor
	File *File
	// Unique is the tensor's name in a single file of everything: in a folder, the component's name comes before it.
	Unique    string
	Component string // "unet", "vae", "text_encoder", "text_encoder_2"; "" for a tensor of none
	// Role and Optional are those of the Spec; Specified tells whether there is one.
	Role      Role
	Optional  bool
	Specified bool
	// Canonical is what backends and adapters call the tensor, or its parts; nil for one that computing does not need.
	Canonical []CanonicalPart
}

// OpenAll opens every file of a model and says what its tensors are for. Errors are *Error.
func OpenAll(path string) (*Collection, error) {
	s, err := openSource(path)
	if err != nil {
		return nil, err
	}
	type key struct{ component, name string }
	specs, canonical := map[key]Spec{}, map[key][]CanonicalPart{}
	dims := infer(s.parts)
	for _, p := range s.parts {
		names := dims.canonicalNames(p.component, p.specLayout())
		for _, spec := range dims.Specs(p.component, p.specLayout()) {
			if x, ok := p.find(spec); ok {
				specs[key{p.component, x.Name}] = spec
				canonical[key{p.component, x.Name}] = names[spec.Name]
			}
		}
	}
	c := &Collection{Files: s.files, Dims: dims}
	for i, f := range s.files {
		for _, t := range f.Tensors {
			u := Used{Tensor: t, File: f, Unique: t.Name}
			if at := s.belongs(s.owner[i], t.Name); at < len(s.parts) {
				u.Component = s.parts[at].component
			}
			if s.owner[i] != "" && len(s.parts) > 1 {
				u.Unique = s.owner[i] + "." + t.Name
			}
			u.Canonical = canonical[key{u.Component, t.Name}]
			if spec, ok := specs[key{u.Component, t.Name}]; ok {
				u.Role, u.Optional, u.Specified = spec.Role, spec.Optional, true
			}
			c.Tensors = append(c.Tensors, u)
		}
	}
	return c, nil
}

// Close closes the files; it may be called again.
func (c *Collection) Close() {
	for _, f := range c.Files {
		_ = f.Close() // opened for reading
	}
}
