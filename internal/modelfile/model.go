package modelfile

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Model is the files of one model, whose headers were read once: what they are, what they state, and where each weight lies. The files
// are closed again.
type Model struct {
	Inputs []Input
	Dims   Dims // of the components that are used

	sources []*source
	parts   []*part // that are used
}

// Input is a file or folder of a Model and what it was given for: "model", or a component that takes the place of the model's.
type Input struct {
	Role   string
	Report Report
}

// ReadModel reads the headers of a model's files. Whether they are of the right kinds, and whole, is told by Inputs and Table. Errors
// are *Error.
func ReadModel(files backend.Files) (*Model, error) {
	m := &Model{}
	for _, f := range files.Named() {
		s, err := openSourceOf(onlyOf(f.Role), f.Path)
		if err == nil {
			err = m.add(f.Role, s)
			s.close()
		}
		if err != nil {
			return nil, err
		}
	}
	m.Dims = infer(m.parts)
	return m, nil
}

// add takes what a source has for a role.
func (m *Model) add(role string, s *source) error {
	r, err := s.report()
	if err != nil {
		return err
	}
	m.Inputs, m.sources = append(m.Inputs, Input{role, r}), append(m.sources, s)
	fresh := s.parts
	if role != "model" {
		p := partFor(s.parts, role)
		if p == nil {
			return nil // Table says so
		}
		s.understand() // a text encoder now knows which it is
		fresh = []*part{p}
	}
	for _, p := range fresh { // in the place of an earlier one of the same component
		at := slices.IndexFunc(m.parts, func(old *part) bool { return old.component == p.component })
		if at >= 0 {
			m.parts[at] = p
		} else {
			m.parts = append(m.parts, p)
		}
	}
	return nil
}

// Table says where every weight of the model's components is. A weight that is missing, misshapen or of a type that is no number is an
// error (ErrTensor) that names it, and so is a tensor among a component's that would change the picture and that nothing here computes
// with. Further errors are a file of an unsupported kind (ErrUnsupported), and one without what it was given for.
func (m *Model) Table() (*backend.Table, error) {
	t := &backend.Table{Layout: string(layoutOf(m.parts))}
	for i, in := range m.Inputs {
		s := m.sources[i]
		if in.Report.Reason != "" {
			return nil, s.unsupported(in.Report.Reason)
		}
		if len(s.parts) == 0 || in.Role != "model" && partFor(s.parts, in.Role) == nil {
			return nil, &Error{Kind: ErrTensor, Path: s.path, Field: in.Role, Remedy: "name the right file",
				Found: "the file is of kind " + string(in.Report.Kind) + " and has no tensors of it"}
		}
		for _, u := range s.leftovers() {
			if u.fate == idle {
				t.Unused = append(t.Unused, u.Name)
			}
		}
		for _, w := range unusedWarnings(s.leftovers()) {
			t.Warnings = append(t.Warnings, filepath.Base(s.path)+": "+w)
		}
		var taken []*part
		first := len(t.Files)
		for _, f := range s.files {
			t.Files = append(t.Files, backend.TableFile{Path: f.Path, Identity: f.identity})
			if in.Role == "model" || in.Role == "unet" { // markers beside another component belong to another UNet
				t.VPrediction = t.VPrediction || f.has(markerV)
				t.ZeroTerminalSNR = t.ZeroTerminalSNR || f.has(markerZeroSNR)
			}
		}
		for _, p := range s.parts {
			if !slices.Contains(m.parts, p) {
				continue
			}
			taken = append(taken, p)
			for _, c := range p.claims {
				t.Weights = c.weights(t.Weights, first)
			}
		}
		if err := s.sound(taken, m.Dims, in.Report.Config); err != nil {
			return nil, err
		}
	}
	if len(m.sources) == 0 {
		return t, nil
	}
	t.Warnings = append(t.Warnings, m.Dims.layerWarnings()...)
	return t, crossCheck(m.Dims, m.sources[0].path)
}

func (f *File) has(name string) bool { _, ok := f.Tensor(name); return ok }

// weights adds what a tensor becomes: mostly one weight; three where q, k and v are one. first is the table's index of the source's
// first file.
func (c claim) weights(list []backend.Weight, first int) []backend.Weight {
	for _, part := range c.Canonical {
		w := backend.Weight{Component: backendComponent(c.Component, part.Name), Name: part.Name, Use: c.Use, Stored: c.entry.Name,
			File: first + c.file, Offset: c.Offset, Bytes: c.Size, Type: backend.Type(strings.ToLower(string(c.DType))),
			Shape: c.Spec.Shape, Strides: c.strides, Scale: c.scaleOf(part)}
		if part.Parts > 1 || part.Transpose || c.strides != nil {
			c.view(&w, part)
		}
		if c.Use != backend.UseConv && c.Use != backend.UseVector {
			asMatrix(&w)
		}
		if c.row > 0 && w.Strides == nil { // blocks cross the ends of its rows: it is gathered like a strided tensor
			w.Strides = inOrder(w.Shape)
		}
		list = append(list, w)
	}
	return list
}

// asMatrix gives a weight two dimensions. A vector is one row; of three dimensions the first is one; a convolution's kernels become rows,
// if they lie in order.
func asMatrix(w *backend.Weight) {
	switch n := len(w.Shape); {
	case n == 1:
		w.Shape = []int64{1, w.Shape[0]}
		if w.Strides != nil {
			w.Strides = []int64{w.Strides[0], w.Strides[0]}
		}
	case n == 3 && w.Shape[0] == 1:
		w.Shape = w.Shape[1:]
		if w.Strides != nil {
			w.Strides = w.Strides[1:]
		}
	case n > 2:
		inner, _ := product(w.Shape[1:])
		if w.Strides == nil || inner == w.Shape[1] {
			w.Shape = []int64{w.Shape[0], inner}
		}
	}
}

// inOrder returns the strides of a tensor that lies in order.
func inOrder(shape []int64) []int64 {
	strides, n := make([]int64, len(shape)), int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = n
		n *= shape[i]
	}
	return strides
}

// view makes a weight of a part of the tensor, of its transpose, or of what does not lie in order.
func (c claim) view(w *backend.Weight, part CanonicalPart) {
	w.Shape = slices.Clone(w.Shape)
	w.Shape[0] /= int64(part.Parts)
	if c.strides == nil && !part.Transpose {
		w.Bytes /= int64(part.Parts)
		w.Offset += w.Bytes * int64(part.Part)
		return
	}
	if c.strides == nil {
		w.Strides = []int64{w.Shape[1], 1}
	} else {
		w.Strides = slices.Grow(slices.Clone(c.strides), len(w.Shape))[:len(w.Shape)] // the others' dimensions are one
		width := dtypes[c.DType].bytes
		w.Offset += int64(part.Part) * w.Shape[0] * w.Strides[0] * width
		last := int64(0)
		for i, s := range w.Strides {
			last += (w.Shape[i] - 1) * s
		}
		w.Bytes = (last + 1) * width
	}
	if part.Transpose {
		slices.Reverse(w.Shape)
		slices.Reverse(w.Strides)
	}
}
