package modelfile

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/daguerre-go/daguerre/internal/fault"
)

// Limits of GGUF beyond the general ones. ggml has four dimensions.
const (
	ggufMaxDims      = 4
	ggufMaxKV        = 65_536
	ggufMaxKeyBytes  = 65_535
	ggufMaxAlignment = 1 << 16
	ggufShownArray   = 64 // longer arrays are summarised in Metadata
)

// The value types of GGUF metadata, enum gguf_type.
const (
	ggufU8 = iota
	ggufI8
	ggufU16
	ggufI16
	ggufU32
	ggufI32
	ggufF32
	ggufBool
	ggufString
	ggufArray
	ggufU64
	ggufI64
	ggufF64
)

var ggufScalarBytes = map[uint32]int64{ggufU8: 1, ggufI8: 1, ggufU16: 2, ggufI16: 2, ggufU32: 4, ggufI32: 4,
	ggufF32: 4, ggufBool: 1, ggufU64: 8, ggufI64: 8, ggufF64: 8}

var ggufTypeNames = []string{"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string", "array", "uint64", "int64",
	"float64"}

// readGGUF reads versions 2 and 3 of ggml/docs/gguf.md.
func (f *File) readGGUF(r io.ReaderAt) {
	g := &ggufReader{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, f.Size), 1<<16), size: f.Size}
	f.Metadata = map[string]string{}
	tensors, kvs := g.counts()
	for i := range kvs {
		g.keyValue(f.Metadata, i)
	}
	align := int64(32)
	if s, ok := f.Metadata["general.alignment"]; ok {
		var err error
		if align, err = strconv.ParseInt(s, 10, 64); err != nil || align < 8 || align > ggufMaxAlignment || align&(align-1) != 0 {
			panic(fail(ErrFormat, "general.alignment", remedyDownload, "%s is not a power of two from 8 to %d", quoteName(s), ggufMaxAlignment))
		}
	}
	f.Tensors = make([]Tensor, 0, min(tensors, 4096))
	for i := range tensors {
		f.Tensors = append(f.Tensors, g.tensor(i, align))
	}
	f.placeData((g.pos + align - 1) / align * align)
	for i := range f.Tensors {
		f.reshape(&f.Tensors[i])
	}
}

// ReshapedKey is the beginning of metadata keys of ComfyUI-GGUF; a tensor's name follows. The value is the tensor's real shape.
// ComfyUI-GGUF reshapes a tensor so that blocks divide its rows, or if it has more dimensions than ggml allows.
const ReshapedKey = "comfy.gguf.orig_shape."

// ParseShape reads a shape as metadata show it: "[320, 4, 3, 3]".
func ParseShape(text string) ([]int64, error) {
	var shape []int64
	for s := range strings.SplitSeq(strings.Trim(text, "[]"), ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
		if err != nil || n < 0 || len(shape) == MaxDims {
			return nil, strconv.ErrSyntax
		}
		shape = append(shape, n)
	}
	return shape, nil
}

// reshape gives a tensor the real shape, which the metadata have.
func (f *File) reshape(t *Tensor) {
	text, ok := f.Metadata[ReshapedKey+t.Name]
	if !ok {
		return
	}
	field := "metadata " + quoteName(ReshapedKey+t.Name)
	shape, err := ParseShape(text)
	if err != nil {
		panic(fail(ErrFormat, field, remedyDownload, "%s is no shape", quoteName(text)))
	}
	if n, ok := product(shape); !ok || n != t.Elements() {
		panic(fail(ErrFormat, field, remedyDownload, "shape %s does not have the %s elements of the stored shape %s", shapeString(shape),
			group(t.Elements()), shapeString(t.Shape)))
	}
	row := t.StoredRow()
	if t.Shape = shape; t.DType.Quantized() {
		if _, ok := t.DType.Bytes(t.Elements(), t.StoredRow()); !ok {
			t.row = row
		}
	}
}

type ggufReader struct {
	r    *bufio.Reader
	pos  int64
	size int64
}

// room checks that the file and the header's cap leave room for n bytes more, which the caller then reads.
func (g *ggufReader) room(n int64, field string) {
	if left := g.size - g.pos; n > left {
		panic(missing(field, n-left))
	}
	if n > MaxHeaderBytes-g.pos {
		panic(fail(ErrLimit, field, remedyDownload, "the header exceeds %s bytes", group(MaxHeaderBytes)))
	}
	g.pos += n
}

func (g *ggufReader) bytes(n int64, field string) []byte {
	g.room(n, field)
	b := make([]byte, n)
	fault.Value(io.ReadFull(g.r, b))
	return b
}

func (g *ggufReader) skip(n int64, field string) {
	g.room(n, field)
	fault.Value(g.r.Discard(int(n)))
}

func (g *ggufReader) u32(field string) uint32 { return uint32(littleEndian(g.bytes(4, field))) }
func (g *ggufReader) u64(field string) uint64 { return littleEndian(g.bytes(8, field)) }

func (g *ggufReader) length(field string) int64 {
	n := g.u64(field)
	if n > math.MaxInt64 {
		panic(fail(ErrFormat, field, remedyDownload, "a length of %s", group(n)))
	}
	return int64(n)
}

func (g *ggufReader) str(field string, most int64) string {
	n := g.length(field)
	if n > most {
		panic(fail(ErrLimit, field, remedyDownload, "a string of %s bytes, at most %s are read", group(n), group(most)))
	}
	return string(g.bytes(n, field))
}

func (g *ggufReader) counts() (tensors, kvs uint64) {
	g.bytes(4, "magic")
	version := g.u32("version")
	unsupported := func(remedy, format string, args ...any) {
		panic(fail(ErrUnsupported, "version", remedy, format, args...))
	}
	switch {
	case version == 2 || version == 3:
	case version == 1:
		unsupported("convert it with a current tool", "GGUF version 1; versions 2 and 3 are read")
	case version&0xffff == 0:
		unsupported("convert it on a little-endian machine", "a big-endian GGUF file (version %#x)", version)
	default:
		unsupported("update daguerre, or download the file again", "GGUF version %s; versions 2 and 3 are read", group(version))
	}
	count := func(field string, most uint64) uint64 {
		n := g.u64(field)
		if n > most {
			panic(fail(ErrLimit, field, remedyDownload, "%s, at most %s are read", group(n), group(most)))
		}
		return n
	}
	tensors, kvs = count("tensor count", MaxTensors), count("metadata count", ggufMaxKV)
	// A tensor takes at least 24 bytes of header, a metadata entry 13.
	if need := int64(tensors)*24 + int64(kvs)*13; need > g.size-g.pos {
		panic(missing(fmt.Sprintf("header of %s tensors and %s metadata entries", group(tensors), group(kvs)), need-(g.size-g.pos)))
	}
	return tensors, kvs
}

func (g *ggufReader) keyValue(into map[string]string, i uint64) {
	key := g.str(fmt.Sprintf("metadata key %d", i), ggufMaxKeyBytes)
	field := "metadata " + quoteName(key)
	if _, dup := into[key]; dup {
		panic(fail(ErrFormat, field, remedyDownload, "the key occurs twice"))
	}
	into[key] = g.value(g.u32(field), field)
}

func (g *ggufReader) value(typ uint32, field string) string {
	switch typ {
	case ggufString:
		return strings.ToValidUTF8(g.str(field, MaxHeaderBytes), "\ufffd")
	case ggufArray:
		return g.array(field)
	}
	n, ok := ggufScalarBytes[typ]
	if !ok {
		panic(fail(ErrFormat, field, remedyDownload, "value type %s is unknown", group(typ)))
	}
	return ggufScalar(typ, g.bytes(n, field))
}

func ggufScalar(typ uint32, b []byte) string {
	u := littleEndian(b)
	switch typ {
	case ggufI8:
		return strconv.FormatInt(int64(int8(u)), 10)
	case ggufI16:
		return strconv.FormatInt(int64(int16(u)), 10)
	case ggufI32:
		return strconv.FormatInt(int64(int32(u)), 10)
	case ggufI64:
		return strconv.FormatInt(int64(u), 10)
	case ggufF32:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(u))), 'g', -1, 32)
	case ggufF64:
		return strconv.FormatFloat(math.Float64frombits(u), 'g', -1, 64)
	case ggufBool:
		return strconv.FormatBool(u != 0)
	}
	return strconv.FormatUint(u, 10)
}

// array reads short arrays as "[a, b]" and summarises long ones. Arrays of arrays are not written by
// any known tool and are refused.
func (g *ggufReader) array(field string) string {
	typ, n := g.u32(field), g.length(field)
	width, scalar := ggufScalarBytes[typ]
	if !scalar && typ != ggufString {
		panic(fail(ErrUnsupported, field, remedyDownload, "an array of value type %s", group(typ)))
	}
	if typ == ggufString {
		width = 8 // at least
	}
	if n > (g.size-g.pos)/width {
		panic(fail(ErrTruncated, field, "download it again", "an array of %s values does not fit in the file", group(n)))
	}
	if n > ggufShownArray {
		if scalar {
			g.skip(n*width, field)
		} else {
			for range n {
				g.skip(g.length(field), field)
			}
		}
		return fmt.Sprintf("[%s x %s]", group(n), ggufTypeNames[typ])
	}
	parts := make([]string, n)
	for i := range parts {
		parts[i] = g.value(typ, field)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// tensor reads one entry; its Offset is still relative to the data.
func (g *ggufReader) tensor(i uint64, align int64) Tensor {
	name := g.str(fmt.Sprintf("name of tensor %d", i), MaxNameBytes)
	field := tensorField(name)
	if !utf8.ValidString(name) {
		panic(fail(ErrFormat, field, remedyDownload, "the name is not valid UTF-8"))
	}
	dims := g.u32(field)
	if dims > ggufMaxDims {
		panic(fail(ErrLimit, field, remedyDownload, "%s dimensions, ggml has at most %d", group(dims), ggufMaxDims))
	}
	shape := make([]int64, dims)
	for d := range shape {
		shape[len(shape)-1-d] = g.length(field + " dimensions")
	}
	id := g.u32(field + " type")
	typ, known := ggmlTypes[id]
	offset := g.length(field + " offset")
	if offset%align != 0 {
		panic(fail(ErrFormat, field+" offset", remedyDownload, "%s is not a multiple of the alignment %d", group(offset), align))
	}
	size := int64(0)
	if known {
		size = checkTensor(name, typ, shape)
	} else { // an error where the tensor is used; how large it is nobody can tell
		typ = DType(fmt.Sprintf("GGML_%d", id))
		checkShape(name, shape)
	}
	if offset > math.MaxInt64-g.size-ggufMaxAlignment-size {
		panic(fail(ErrFormat, field+" offset", remedyDownload, "%s overflows", group(offset)))
	}
	return Tensor{Name: name, DType: typ, Shape: shape, Offset: offset, Size: size}
}
