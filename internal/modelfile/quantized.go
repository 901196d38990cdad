package modelfile

import (
	"maps"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/fault"
)

// QuantizationKey is the metadata entry in which ComfyUI's files say how their layers are quantized. A converted file of other types does
// not keep it.
const QuantizationKey = "_quantization_metadata"

// maxFormatBytes is the largest description of one layer's format.
const maxFormatBytes = 1 << 16

// fp8Formats are the formats that are read, with the type of the matrix.
var fp8Formats = map[string]DType{"float8_e4m3fn": F8E4M3, "float8_e5m2": F8E5M2}

// format is what a file says of one layer's quantization, in ComfyUI's terms.
type format struct {
	name    string // "float8_e4m3fn", "nvfp4", "int8_tensorwise", ...
	rotated bool   // the weights are of a rotated basis
}

// formats reads what the files say of their layers and refuses formats other than scaled FP8. FP8 values in a tensor of bytes become FP8.
func (q *scales) formats() {
	for i, f := range q.files {
		layers := f.quantizedLayers()
		for _, layer := range slices.Sorted(maps.Keys(layers)) { // so that the same mistake is always told the same way
			for at, p := range q.parts { // ComfyUI writes layers' names with the component's prefix or without it
				if q.owner[i] != "" && q.owner[i] != p.component {
					continue
				}
				for _, name := range []string{layer + ".weight", p.prefix + layer + ".weight"} {
					if q.belongs(q.owner[i], name) == at {
						q.check(f, p.table, name, "metadata "+QuantizationKey, layers[layer])
					}
				}
			}
		}
		for _, t := range f.Tensors {
			layer, ok := strings.CutSuffix(t.Name, formatEnding)
			if !ok {
				continue
			}
			if at := q.belongs(q.owner[i], t.Name); at < len(q.parts) {
				q.check(f, q.parts[at].table, layer+".weight", tensorField(t.Name), f.layerFormat(t))
			}
		}
	}
}

// check compares a layer's format with its matrix, if there is one.
func (q *scales) check(f *File, t *table, matrix, field string, said format) {
	to, key := q.find(t, matrix)
	if to == nil {
		return
	}
	bad := func(format string, args ...any) {
		panic(withPath(f.Path, fail(ErrUnsupported, field, remedyFormat, format, args...)))
	}
	d, ok := fp8Formats[said.name]
	switch {
	case !ok:
		bad("%s is quantized as %s, which is not read", quoteName(matrix), quoteName(said.name))
	case said.rotated:
		bad("%s is quantized in a rotated basis, which is not read", quoteName(matrix))
	case to.DType == U8:
		q.set(t, key, to, func(x *Tensor) { x.DType = d })
	case to.DType.fp8() && to.DType != d:
		bad("%s is %s by this, and of type %s", quoteName(matrix), said.name, to.DType)
	}
}

// quantizedLayers reads the metadata entry.
func (f *File) quantizedLayers() map[string]format {
	text, ok := f.Metadata[QuantizationKey]
	if !ok {
		return nil
	}
	field := "metadata " + QuantizationKey
	layers := fault.Value(parseObject([]byte(text), f.Path, field)).object("layers")
	out := map[string]format{}
	for layer, v := range layers.values {
		if name, ok := v.(string); ok {
			out[layer] = format{name: name}
			continue
		}
		out[layer] = layers.object(layer).format()
	}
	return out
}

// layerFormat reads the tensor that says how a layer is quantized: JSON as bytes.
func (f *File) layerFormat(t Tensor) format {
	if t.Size > maxFormatBytes || t.DType.Quantized() {
		panic(withPath(f.Path, fail(ErrLimit, tensorField(t.Name), remedyDownload, "%s bytes of %s, at most %s are read", group(t.Size), t.DType,
			group(maxFormatBytes))))
	}
	var text strings.Builder
	for _, x := range fault.Value(f.ReadFloat32(t.Name)) {
		text.WriteByte(byte(int(x)))
	}
	return fault.Value(parseObject([]byte(text.String()), f.Path, tensorField(t.Name))).format()
}

// format reads one layer's object.
func (o object) format() (f format) {
	o.into("format", &f.name)
	if v, ok := o.get("convrot"); ok {
		f.rotated = v != false
	}
	return f
}
