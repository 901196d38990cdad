package modelfile

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
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

var ggufTypeNames = []string{"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string", "array", "uint64", "int64", "float64"}

// readGGUF reads versions 2 and 3 of ggml/docs/gguf.md.
func (f *File) readGGUF(r io.ReaderAt) error {
	g := &ggufReader{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, f.Size), 1<<16), size: f.Size}
	f.Metadata = map[string]string{}
	tensors, kvs, err := g.counts()
	if err != nil {
		return err
	}
	for i := uint64(0); i < kvs; i++ {
		if err := g.keyValue(f.Metadata, i); err != nil {
			return err
		}
	}
	align := int64(32)
	if s, ok := f.Metadata["general.alignment"]; ok {
		if align, err = strconv.ParseInt(s, 10, 64); err != nil || align < 8 || align > ggufMaxAlignment || align&(align-1) != 0 {
			return fail(ErrFormat, "general.alignment", remedyDownload, "%s is not a power of two from 8 to %d", quoteName(s), ggufMaxAlignment)
		}
	}
	f.Tensors = make([]Tensor, 0, min(tensors, 4096))
	for i := uint64(0); i < tensors; i++ {
		t, err := g.tensor(i, align)
		if err != nil {
			return err
		}
		f.Tensors = append(f.Tensors, t)
	}
	return f.placeGGUF((g.pos + align - 1) / align * align)
}

// placeGGUF turns relative offsets into absolute ones and checks them.
func (f *File) placeGGUF(base int64) error {
	var short int64
	var which string
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if t.Offset > math.MaxInt64-base-t.Size {
			return fail(ErrFormat, tensorField(t.Name)+" offset", remedyDownload, "%s overflows", group(t.Offset))
		}
		t.Offset += base
		if over := t.Offset + t.Size - f.Size; over > short {
			short, which = over, t.Name
		}
	}
	if short > 0 {
		e := missing(tensorField(which), short)
		e.Found = fmt.Sprintf("its data ends beyond the end of the file (%s bytes): %s", group(f.Size), e.Found)
		return e
	}
	_, err := checkOverlaps(f.Tensors)
	return err
}

type ggufReader struct {
	r    *bufio.Reader
	pos  int64
	size int64
}

// bytes reads n bytes after checking that the file and the header's cap leave room for them.
func (g *ggufReader) bytes(n int64, field string) ([]byte, error) {
	if err := g.room(n, field); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(g.r, b); err != nil {
		return nil, err
	}
	g.pos += n
	return b, nil
}

func (g *ggufReader) room(n int64, field string) error {
	if left := g.size - g.pos; n > left {
		return missing(field, n-left)
	}
	if n > MaxHeaderBytes-g.pos {
		return fail(ErrLimit, field, remedyDownload, "the header exceeds %s bytes", group(MaxHeaderBytes))
	}
	return nil
}

func (g *ggufReader) skip(n int64, field string) error {
	if err := g.room(n, field); err != nil {
		return err
	}
	_, err := g.r.Discard(int(n))
	g.pos += n
	return err
}

func (g *ggufReader) u32(field string) (uint32, error) {
	b, err := g.bytes(4, field)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (g *ggufReader) u64(field string) (uint64, error) {
	b, err := g.bytes(8, field)
	if err != nil {
		return 0, err
	}
	return le64(b), nil
}

func (g *ggufReader) length(field string) (int64, error) {
	n, err := g.u64(field)
	if err != nil {
		return 0, err
	}
	if n > math.MaxInt64 {
		return 0, fail(ErrFormat, field, remedyDownload, "a length of %s", group(n))
	}
	return int64(n), nil
}

func (g *ggufReader) str(field string, most int64) (string, error) {
	n, err := g.length(field)
	if err != nil {
		return "", err
	}
	if n > most {
		return "", fail(ErrLimit, field, remedyDownload, "a string of %s bytes, at most %s are read", group(n), group(most))
	}
	b, err := g.bytes(n, field)
	if err != nil {
		return "", err
	}
	return string(b), nil
}

func (g *ggufReader) counts() (tensors, kvs uint64, err error) {
	if _, err = g.bytes(4, "magic"); err != nil {
		return
	}
	version, err := g.u32("version")
	if err != nil {
		return
	}
	switch {
	case version == 2 || version == 3:
	case version == 1:
		return 0, 0, fail(ErrUnsupported, "version", "convert it with a current tool", "GGUF version 1; versions 2 and 3 are read")
	case version&0xffff == 0:
		return 0, 0, fail(ErrUnsupported, "version", "convert it on a little-endian machine", "a big-endian GGUF file (version %#x)", version)
	default:
		return 0, 0, fail(ErrUnsupported, "version", "update daguerre, or download the file again", "GGUF version %s; versions 2 and 3 are read", group(version))
	}
	if tensors, err = g.u64("tensor count"); err != nil {
		return
	}
	if kvs, err = g.u64("metadata count"); err != nil {
		return
	}
	if tensors > MaxTensors {
		return 0, 0, fail(ErrLimit, "tensor count", remedyDownload, "%s, at most %s are read", group(tensors), group(MaxTensors))
	}
	if kvs > ggufMaxKV {
		return 0, 0, fail(ErrLimit, "metadata count", remedyDownload, "%s, at most %s are read", group(kvs), group(ggufMaxKV))
	}
	// A tensor takes at least 24 bytes of header, a metadata entry 13.
	if need := int64(tensors)*24 + int64(kvs)*13; need > g.size-g.pos {
		return 0, 0, missing(fmt.Sprintf("header of %s tensors and %s metadata entries", group(tensors), group(kvs)), need-(g.size-g.pos))
	}
	return
}

func (g *ggufReader) keyValue(into map[string]string, i uint64) error {
	key, err := g.str(fmt.Sprintf("metadata key %d", i), ggufMaxKeyBytes)
	if err != nil {
		return err
	}
	field := "metadata " + quoteName(key)
	if _, dup := into[key]; dup {
		return fail(ErrFormat, field, remedyDownload, "the key occurs twice")
	}
	typ, err := g.u32(field)
	if err != nil {
		return err
	}
	value, err := g.value(typ, field)
	if err != nil {
		return err
	}
	into[key] = value
	return nil
}

func (g *ggufReader) value(typ uint32, field string) (string, error) {
	switch typ {
	case ggufString:
		s, err := g.str(field, MaxHeaderBytes)
		if err == nil && !utf8.ValidString(s) {
			s = strings.ToValidUTF8(s, "\ufffd")
		}
		return s, err
	case ggufArray:
		return g.array(field)
	}
	n, ok := ggufScalarBytes[typ]
	if !ok {
		return "", fail(ErrFormat, field, remedyDownload, "value type %s is unknown", group(typ))
	}
	b, err := g.bytes(n, field)
	if err != nil {
		return "", err
	}
	return ggufScalar(typ, b), nil
}

func ggufScalar(typ uint32, b []byte) string {
	var w [8]byte
	copy(w[:], b)
	u := le64(w[:])
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
func (g *ggufReader) array(field string) (string, error) {
	typ, err := g.u32(field)
	if err != nil {
		return "", err
	}
	n, err := g.length(field)
	if err != nil {
		return "", err
	}
	width, scalar := ggufScalarBytes[typ]
	if !scalar && typ != ggufString {
		return "", fail(ErrUnsupported, field, remedyDownload, "an array of value type %s", group(typ))
	}
	if typ == ggufString {
		width = 8 // at least
	}
	if n > (g.size-g.pos)/width {
		return "", fail(ErrTruncated, field, "download it again", "an array of %s values does not fit in the file", group(n))
	}
	if n > ggufShownArray {
		if scalar {
			err = g.skip(n*width, field)
		} else {
			err = g.skipStrings(n, field)
		}
		return fmt.Sprintf("[%s x %s]", group(n), ggufTypeNames[typ]), err
	}
	parts := make([]string, n)
	for i := range parts {
		if parts[i], err = g.value(typ, field); err != nil {
			return "", err
		}
	}
	return "[" + strings.Join(parts, ", ") + "]", nil
}

func (g *ggufReader) skipStrings(n int64, field string) error {
	for range n {
		size, err := g.length(field)
		if err != nil {
			return err
		}
		if err := g.skip(size, field); err != nil {
			return err
		}
	}
	return nil
}

// tensor reads one entry; its Offset is still relative to the data.
func (g *ggufReader) tensor(i uint64, align int64) (Tensor, error) {
	name, err := g.str(fmt.Sprintf("name of tensor %d", i), MaxNameBytes)
	if err != nil {
		return Tensor{}, err
	}
	field := tensorField(name)
	if !utf8.ValidString(name) {
		return Tensor{}, fail(ErrFormat, field, remedyDownload, "the name is not valid UTF-8")
	}
	dims, err := g.u32(field)
	if err != nil {
		return Tensor{}, err
	}
	if dims > ggufMaxDims {
		return Tensor{}, fail(ErrLimit, field, remedyDownload, "%s dimensions, ggml has at most %d", group(dims), ggufMaxDims)
	}
	shape := make([]int64, dims)
	for d := range shape {
		if shape[len(shape)-1-d], err = g.length(field + " dimensions"); err != nil {
			return Tensor{}, err
		}
	}
	id, err := g.u32(field + " type")
	if err != nil {
		return Tensor{}, err
	}
	typ, ok := ggmlTypes[id]
	if !ok {
		return Tensor{}, fail(ErrUnsupported, field+" type", "re-quantize it with a current type", "ggml type %s is unknown or was removed", group(id))
	}
	offset, err := g.length(field + " offset")
	if err != nil {
		return Tensor{}, err
	}
	if offset%align != 0 {
		return Tensor{}, fail(ErrFormat, field+" offset", remedyDownload, "%s is not a multiple of the alignment %d", group(offset), align)
	}
	size, err := checkTensor(name, typ, shape)
	if err != nil {
		return Tensor{}, err
	}
	return Tensor{Name: name, DType: typ, Shape: shape, Offset: offset, Size: size}, nil
}
