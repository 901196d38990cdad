package modelfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// ReadRaw returns the bytes of a tensor as stored (little endian), in the order of its shape. The slice
// is the caller's.
func (f *File) ReadRaw(name string) ([]byte, error) {
	t, err := f.existing(name)
	if err != nil {
		return nil, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	n := t.Size
	if t.strides != nil {
		n = t.span
	}
	b := make([]byte, n)
	if err := f.readAt(name, b, t.Offset); err != nil {
		return nil, err
	}
	if t.strides != nil {
		b = gather(b, t)
	}
	return b, nil
}

func (f *File) existing(name string) (t Tensor, err error) {
	t, ok := f.Tensor(name)
	if !ok {
		err = withPath(f.Path, fail(ErrTensor, tensorField(name), "", "is not in the file"))
	}
	return t, err
}

// readAt fills b from a place of the file; the caller holds mu.
func (f *File) readAt(name string, b []byte, at int64) error {
	if f.src == nil {
		return &Error{Kind: ErrRead, Path: f.Path, Field: tensorField(name), Found: "the file was closed", Remedy: "open it again"}
	}
	if len(b) == 0 {
		return nil // an empty tensor may lie at the very end, where ReadAt reports EOF
	}
	if _, err := f.src.ReadAt(b, at); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return &Error{Kind: ErrTruncated, Path: f.Path, Field: tensorField(name), Found: "the file became shorter since it was opened",
				Remedy: "wait for the download to end and open it again", Cause: err}
		}
		return withPath(f.Path, err)
	}
	if f.unchanged != nil {
		return f.unchanged()
	}
	return nil
}

// gather copies a strided tensor into row-major order. Open has checked that every element lies in b.
func gather(b []byte, t Tensor) []byte {
	width := dtypes[t.DType].bytes
	out := make([]byte, 0, t.Size)
	idx := make([]int64, len(t.Shape))
	for range t.Elements() {
		var at int64
		for d, i := range idx {
			at += i * t.strides[d]
		}
		out = append(out, b[at*width:(at+1)*width]...)
		for d := len(idx) - 1; d >= 0; d-- {
			if idx[d]++; idx[d] < t.Shape[d] {
				break
			}
			idx[d] = 0
		}
	}
	return out
}

// ReadAt reads len(b) bytes of a tensor from a byte offset within it, for tensors that are [Tensor.Contiguous].
func (f *File) ReadAt(name string, b []byte, offset int64) error {
	t, err := f.existing(name)
	if err != nil {
		return err
	}
	if !t.Contiguous() || offset < 0 || int64(len(b)) > t.Size-offset {
		return &Error{Kind: ErrTensor, Path: f.Path, Field: tensorField(name),
			Found: fmt.Sprintf("has no %d bytes in a row from %d on", len(b), offset)}
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.readAt(name, b, t.Offset+offset)
}

// Decode converts the stored bytes of plain numbers to float32; out has one element for each. F64 and large integers are
// rounded. It reports whether the type is one of plain numbers and the lengths agree.
func (d DType) Decode(b []byte, out []float32) bool {
	conv := convertible[d]
	if conv == nil || int64(len(b)) != int64(len(out))*dtypes[d].bytes {
		return false
	}
	width := int(dtypes[d].bytes)
	for i := range out {
		out[i] = conv(b[i*width:])
	}
	return true
}

// Encode is the reverse for F32, F16 and BF16, rounding to nearest.
func (d DType) Encode(values []float32, b []byte) bool {
	if int64(len(b)) != int64(len(values))*dtypes[d].bytes {
		return false
	}
	for i, v := range values {
		switch d {
		case F32:
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
		case F16:
			binary.LittleEndian.PutUint16(b[2*i:], Float32ToHalf(v))
		case BF16:
			binary.LittleEndian.PutUint16(b[2*i:], Float32ToBFloat16(v))
		default:
			return false
		}
	}
	return true
}

// ReadFloat32 returns a tensor's elements as float32 in the order of its shape, multiplied by its scale. All floating-point and
// integer types are read; quantized ones are not (ErrUnsupported). F64 and large integers are rounded.
func (f *File) ReadFloat32(name string) ([]float32, error) {
	t, ok := f.Tensor(name)
	if ok && convertible[t.DType] == nil {
		return nil, &Error{Kind: ErrUnsupported, Path: f.Path, Field: tensorField(name),
			Found: fmt.Sprintf("type %s is not read as numbers", t.DType), Remedy: "use a file with F32, F16 or BF16 tensors"}
	}
	b, err := f.ReadRaw(name)
	if err != nil {
		return nil, err
	}
	out := make([]float32, t.Elements())
	t.DType.Decode(b, out)
	t.Rescale(out, 0)
	return out, nil
}

var convertible = map[DType]func([]byte) float32{
	F64:    func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) },
	F32:    func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) },
	F16:    func(b []byte) float32 { return HalfToFloat32(binary.LittleEndian.Uint16(b)) },
	BF16:   func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) },
	F8E4M3: func(b []byte) float32 { return e4m3(b[0]) },
	F8E5M2: func(b []byte) float32 { return HalfToFloat32(uint16(b[0]) << 8) },
	I64:    func(b []byte) float32 { return float32(int64(binary.LittleEndian.Uint64(b))) },
	I32:    func(b []byte) float32 { return float32(int32(binary.LittleEndian.Uint32(b))) },
	I16:    func(b []byte) float32 { return float32(int16(binary.LittleEndian.Uint16(b))) },
	I8:     func(b []byte) float32 { return float32(int8(b[0])) },
	U64:    func(b []byte) float32 { return float32(binary.LittleEndian.Uint64(b)) },
	U32:    func(b []byte) float32 { return float32(binary.LittleEndian.Uint32(b)) },
	U16:    func(b []byte) float32 { return float32(binary.LittleEndian.Uint16(b)) },
	U8:     func(b []byte) float32 { return float32(b[0]) },
	Bool:   func(b []byte) float32 { return float32(b[0]) },
}

// HalfToFloat32 converts IEEE 754 binary16 exactly, with subnormals, infinities and NaN.
func HalfToFloat32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 31
	man := uint32(h & 0x3ff)
	switch exp {
	case 0:
		v := float32(man) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | man<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | man<<13)
}

// Float32ToHalf rounds to the nearest binary16, ties to even; what is too large becomes infinite.
func Float32ToHalf(v float32) uint16 {
	b := math.Float32bits(v)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00
	case b >= 0x477ff000: // rounds to at least 65536
		return sign | 0x7c00
	case b < 0x38800000: // subnormal: let float32 addition round at 2^-24
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	b += 0xfff + b>>13&1
	return sign | uint16((b-0x38000000)>>13)
}

// Float32ToBFloat16 rounds to the nearest bfloat16, ties to even.
func Float32ToBFloat16(v float32) uint16 {
	b := math.Float32bits(v)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// e4m3 converts the "fn" variety: bias 7, no infinities, NaN where all bits below the sign are set.
func e4m3(x uint8) float32 {
	exp, man := int(x>>3&15), float64(x&7)
	var v float64
	switch {
	case x&0x7f == 0x7f:
		return float32(math.NaN())
	case exp == 0:
		v = math.Ldexp(man, -9)
	default:
		v = math.Ldexp(8+man, exp-10)
	}
	if x&0x80 != 0 {
		v = -v
	}
	return float32(v)
}
