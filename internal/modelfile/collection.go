package modelfile

// Collection has every tensor of a model file or diffusers folder, and what each is used for. The scales of FP8 matrices are not in it:
// they are part of their matrices, see Tensor.Rescale. Close closes the files.
type Collection struct {
	Files   []*File
	Tensors []Used // in the order of the files
	Dims    Dims

	source *source
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
	Marker    bool // it belongs to no component, and says how the UNet was trained
	// Canonical is what backends and adapters call the tensor, or its parts; nil for one that computing does not need.
	Canonical []CanonicalPart
}

// OpenAll opens every file of a model and says what its tensors are for. Errors are *Error.
func OpenAll(path string) (*Collection, error) {
	s, err := openSource(path)
	if err != nil {
		return nil, err
	}
	claimed := s.claimed()
	c := &Collection{Files: s.files, Dims: s.dims, source: s}
	for i, f := range s.files {
		for k, t := range f.Tensors {
			if isScaleName(t.Name) && s.belongs(s.owner[i], t.Name) < len(s.parts) || t.Name == scaledMarker {
				continue
			}
			u := Used{Tensor: t, File: f, Unique: t.Name, Marker: isMarker(t.Name)}
			if at := s.belongs(s.owner[i], t.Name); at < len(s.parts) {
				u.Component = s.parts[at].component
			}
			if s.owner[i] != "" && len(s.parts) > 1 {
				u.Unique = s.owner[i] + "." + t.Name
			}
			if spec := claimed[i][k]; spec != nil {
				u.Role, u.Optional, u.Specified, u.Canonical = spec.Role, spec.Optional, true, spec.Canonical
			}
			c.Tensors = append(c.Tensors, u)
		}
	}
	return c, nil
}

// Check applies the rule that all readers of a model share. The files are of a supported kind. Every tensor of their components is there
// with the right shape. No other tensor among them would change the picture. See [Check].
func (c *Collection) Check() error {
	r, err := c.source.report()
	if err != nil {
		return err
	}
	if r.Reason != "" {
		return c.source.unsupported(r.Reason)
	}
	return c.source.whole(r.Config)
}

// Config is what the files state beside their weights; see ReadConfig.
func (c *Collection) Config() (Config, error) { return c.source.config() }

// Close closes the files; it may be called again.
func (c *Collection) Close() { c.source.close() }
