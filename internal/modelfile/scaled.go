package modelfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/fault"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Scaled FP8: matrices in E4M3 or E5M2, and beside each a tensor with its scale. The values of the matrix are multiplied by the scale. This
// file finds the scales and attaches each to its matrix. quantized.go reads the formats that files state.

// scaleSpellings are the endings of scales' names, each with the ending of the matrix's name.
var scaleSpellings = []struct{ scale, matrix string }{
	{".scale_weight", ".weight"},     // ComfyUI until 2025, musubi-tuner
	{".weight_scale", ".weight"},     // ComfyUI since, compressed-tensors, ModelOpt
	{".weight.scale", ".weight"},     //
	{".weight_scale_inv", ".weight"}, // transformers' FP8, which multiplies by it too
	{"_weight_scale", "_weight"},     // of OpenCLIP's in_proj_weight
	{"text_projection_scale", "text_projection"},
}

// activationEndings end the names of scales for inputs and outputs of a layer that computes in FP8. No layer does that here.
var activationEndings = []string{".scale_input", ".input_scale", ".scale_output", ".output_scale"}

// secondEndings end the names of tensors that change a quantized matrix in addition to its scale.
var secondEndings = []string{".weight_scale_2", ".scale_weight_2", ".pre_quant_scale", ".weight_zero_point", ".weight_offset"}

const (
	formatEnding = ".comfy_quant" // of a JSON object as bytes that says how the layer is quantized
	scaledMarker = "scaled_fp8"   // of ComfyUI: the file's FP8 matrices have scales
)

// matrixOf returns the name of the matrix that belongs to a scale of this name; false if the name is not that of a scale.
func matrixOf(name string) (string, bool) {
	for _, s := range scaleSpellings {
		if base, ok := strings.CutSuffix(name, s.scale); ok {
			return base + s.matrix, true
		}
	}
	return "", false
}

func endsWithAny(name string, endings []string) bool {
	return slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(name, e) })
}

// isScaleName reports whether a tensor of this name belongs to the quantization of others. Conversions do not write it.
func isScaleName(name string) bool {
	_, scale := matrixOf(name)
	return scale || endsWithAny(name, activationEndings) || strings.HasSuffix(name, formatEnding) || name == scaledMarker ||
		strings.HasSuffix(name, "."+scaledMarker)
}

// fp8 reports whether a type is one of those that files scale.
func (d DType) fp8() bool { return d == F8E4M3 || d == F8E5M2 }

// Scaled reports whether the stored values are multiplied by a scale that the file has beside the tensor.
func (t Tensor) Scaled() bool { return len(t.scale) > 0 }

// Rescale multiplies decoded values, the tensor's from its element `at` on, by its scale; without one they stay.
func (t Tensor) Rescale(values []float32, at int) {
	if len(t.scale) == 0 {
		return
	}
	run := int(t.Elements()) / len(t.scale)
	for i := range values {
		values[i] *= t.scale[(at+i)/run]
	}
}

// ScaledReport describes the scaled FP8 of a file.
type ScaledReport struct {
	Matrices    int    `json:"matrices"`
	Spelling    string `json:"spelling"`              // of a scale's name: "scale_weight"
	Activations int    `json:"activations,omitempty"` // scales of activations, which nothing uses
}

// scales attaches the scales of one source to its matrices.
type scales struct {
	*source
	keys   map[*table]map[string]string // of the tables' tensors, by their names in the files
	report ScaledReport
}

// readScales finds the scales of the source's components. A scale without its matrix or for one that is not FP8, one of a wrong shape or
// value, and a format that is not read are errors that name the tensor.
func (s *source) readScales() {
	q := &scales{source: s, keys: map[*table]map[string]string{}}
	q.formats()
	for i, f := range s.files {
		fp8 := slices.ContainsFunc(f.Tensors, func(t Tensor) bool { return t.DType.fp8() })
		for k := range f.Tensors {
			name := f.Tensors[k].Name
			matrix, ok := matrixOf(name)
			switch {
			case ok:
				if at := s.belongs(s.owner[i], name); at < len(s.parts) {
					q.apply(f, &f.Tensors[k], s.parts[at].table, matrix)
				}
			case endsWithAny(name, activationEndings):
				q.report.Activations++
			case fp8 || endsWithAny(name, secondEndings):
				if at := s.belongs(s.owner[i], name); at < len(s.parts) {
					q.refuseBeside(f, name, s.parts[at].table)
				}
			}
		}
	}
	if q.report.Matrices > 0 {
		s.scaled = &q.report
	}
}

// find returns the tensor of a name in the files, and its place in the table; nil if there is none.
func (q *scales) find(t *table, name string) (*Tensor, string) {
	if q.keys[t] == nil {
		q.keys[t] = map[string]string{}
		for key, x := range t.tensors {
			q.keys[t][x.Name] = key
		}
	}
	key, ok := q.keys[t][name]
	if !ok {
		return nil, ""
	}
	x := t.tensors[key]
	return &q.files[x.file].Tensors[x.index], key
}

// set changes a tensor in its file and in the table.
func (q *scales) set(t *table, key string, to *Tensor, change func(*Tensor)) {
	change(to)
	x := t.tensors[key]
	x.Tensor = *to
	t.tensors[key] = x
}

// apply attaches a scale to its matrix.
func (q *scales) apply(f *File, scale *Tensor, t *table, matrix string) {
	bad := func(kind error, remedy, format string, args ...any) {
		panic(withPath(f.Path, fail(kind, tensorField(scale.Name), remedy, format, args...)))
	}
	to, key := q.find(t, matrix)
	if to == nil {
		bad(ErrTensor, remedyDownload, "is the scale of %s, which is missing", quoteName(matrix))
	}
	if !scale.DType.Float() {
		bad(ErrUnsupported, remedyFormat, "a scale of type %s: scales of blocks (MXFP8, NVFP4) are not read", scale.DType)
	}
	switch n := scale.Elements(); {
	case n == 1:
	case len(to.Shape) > 1 && n == to.Shape[0] && scale.Shape[0] == n:
	case len(scale.Shape) > 1 && n > 1:
		bad(ErrUnsupported, remedyFormat, "a scale of shape %s for a matrix of %s: one number, or one for each row, is read; "+
			"scales of blocks are not", shapeString(scale.Shape), shapeString(to.Shape))
	default:
		bad(ErrTensor, remedyDownload, "a scale of shape %s for a matrix of %s; one number, or one for each row, is right",
			shapeString(scale.Shape), shapeString(to.Shape))
	}
	values := fault.Value(f.ReadFloat32(scale.Name))
	for i, x := range values {
		if x-x != 0 || x <= 0 {
			bad(ErrTensor, remedyDownload, "the scale %v (element %d) is not a positive number", x, i)
		}
	}
	switch {
	case to.Scaled():
		bad(ErrTensor, remedyDownload, "is a second scale of %s", quoteName(matrix))
	case to.DType.fp8():
		q.set(t, key, to, func(x *Tensor) { x.scale = values })
		q.report.Matrices++
		q.report.Spelling = strings.TrimLeft(scale.Name[len(commonStart(scale.Name, matrix)):], ".")
	case !to.DType.Float():
		bad(ErrUnsupported, remedyFormat, "scales %s, which is of type %s; scaled FP8 is read", quoteName(matrix), to.DType)
	case slices.ContainsFunc(values, func(x float32) bool { return x != 1 }):
		bad(ErrTensor, remedyDownload, "scales %s, which is of type %s: it is not clear whether that was done already", quoteName(matrix),
			to.DType)
	}
}

// commonStart is the beginning that two names share, up to a dot.
func commonStart(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:strings.LastIndexByte(a[:n], '.')+1]
}

// refuseBeside refuses a tensor beside an FP8 matrix if it changes the matrix, or if it is unknown: it may be a scale.
func (q *scales) refuseBeside(f *File, name string, t *table) {
	last := name[strings.LastIndexByte(name, '.')+1:]
	known := last == "weight" || last == "bias" || isScaleName(name)
	for at := strings.LastIndexByte(name, '.'); at > 0 && !known; at = strings.LastIndexByte(name[:at], '.') {
		matrix, _ := q.find(t, name[:at]+".weight")
		if matrix == nil || !matrix.DType.fp8() && !endsWithAny(name, secondEndings) {
			continue
		}
		panic(withPath(f.Path, fail(ErrUnsupported, tensorField(name), remedyFormat,
			"is beside %s of type %s, and its effect is not known here", quoteName(matrix.Name), matrix.DType)))
	}
}

const remedyFormat = "use the model in F16, BF16, GGUF, or FP8 with a scale for each matrix"

// checkScale refuses the one impossible kind of scale: one for each row, for a matrix that is used as its transpose.
func (c claim) checkScale() error {
	if len(c.scale) > 1 && slices.ContainsFunc(c.Canonical, func(p CanonicalPart) bool { return p.Transpose }) {
		return &Error{Kind: ErrUnsupported, Path: c.path, Field: tensorField(c.entry.Name),
			Found: fmt.Sprintf("has %d scales, one for each row, and its transpose is used", len(c.scale)), Remedy: remedyFormat}
	}
	return nil
}

// checkScales refuses a component of which some FP8 matrices have scales and others have not: what the values of these mean is not known.
// Embeddings and convolutions may be plain FP8 beside scaled matrices.
func checkScales(p *part) error {
	matrix := func(c claim) bool { return c.Use == backend.UseMatrix && c.DType.fp8() }
	if !slices.ContainsFunc(p.claims, func(c claim) bool { return matrix(c) && c.Scaled() }) {
		return nil
	}
	for _, c := range p.claims {
		if matrix(c) && !c.Scaled() {
			return &Error{Kind: ErrTensor, Path: c.path, Field: tensorField(c.entry.Name), Remedy: remedyDownload,
				Found: fmt.Sprintf("is of type %s without a scale, and other matrices of the %s have scales", c.DType, p.component)}
		}
	}
	return nil
}

// scaleOf returns the scale of one part of the tensor.
func (c claim) scaleOf(p CanonicalPart) []float32 {
	if len(c.scale) <= 1 {
		return c.scale
	}
	n := len(c.scale) / p.Parts
	return c.scale[p.Part*n : (p.Part+1)*n]
}
