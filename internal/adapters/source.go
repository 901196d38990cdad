package adapters

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// source reads an adapter's tensors. Its methods panic with an error where they cannot, or where values are not finite.
type source struct{ file *modelfile.File }

// rawTypes are the element types that reach the backend as they are.
var rawTypes = map[modelfile.DType]backend.Type{modelfile.F32: backend.TypeF32, modelfile.F16: backend.TypeF16,
	modelfile.BF16: backend.TypeBF16}

// rawBytes is the size of a tensor as raw returns it.
func rawBytes(t modelfile.Tensor) int64 {
	if _, ok := rawTypes[t.DType]; ok {
		return t.Size
	}
	return 4 * t.Elements()
}

// raw reads a tensor, as stored where the type is F32, F16 or BF16 and as F32 otherwise, under a shape of as many elements.
func (s *source) raw(t modelfile.Tensor, shape ...int) backend.RawTensor {
	typ, ok := rawTypes[t.DType]
	if !ok {
		return floatTensor(s.floats(t), shape...)
	}
	data, err := s.file.ReadRaw(t.Name)
	if err != nil {
		panic(fileError(err))
	}
	if !allFinite(typ, data) {
		panic(notFinite(t))
	}
	return backend.RawTensor{Shape: shape, Type: typ, Data: data}
}

// floats reads a tensor's elements as float32.
func (s *source) floats(t modelfile.Tensor) []float32 {
	x, err := s.file.ReadFloat32(t.Name)
	if err != nil {
		panic(fileError(err))
	}
	if slices.ContainsFunc(x, func(v float32) bool { return v-v != 0 }) {
		panic(notFinite(t))
	}
	return x
}

func notFinite(t modelfile.Tensor) *lora.Error {
	return fail(lora.ErrValue, tensorField(t.Name), "holds NaN or infinity: its training failed, or the file is damaged")
}

// floatTensor is data as a RawTensor.
func floatTensor(data []float32, shape ...int) backend.RawTensor {
	b := make([]byte, 0, 4*len(data))
	for _, v := range data {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return backend.RawTensor{Shape: shape, Type: backend.TypeF32, Data: b}
}

// exponents are the bits that NaN and infinities have set in each type, in as many lanes as fit into 64 bits, and the
// lowest bit of each lane.
var exponents = map[backend.Type]struct{ mask, low uint64 }{
	backend.TypeF32:  {0x7f800000_7f800000, 0x00000001_00000001},
	backend.TypeF16:  {0x7c00_7c00_7c00_7c00, 0x0001_0001_0001_0001},
	backend.TypeBF16: {0x7f80_7f80_7f80_7f80, 0x0001_0001_0001_0001},
}

// allFinite looks at several elements at once: a lane whose exponent is all ones becomes zero, and a zero lane borrows
// when one is taken from it. Borrowing also disturbs the lane above, but only where there was a zero lane to report.
func allFinite(typ backend.Type, data []byte) bool {
	e := exponents[typ]
	high := e.low << 15
	if typ == backend.TypeF32 {
		high = e.low << 31
	}
	for len(data) >= 8 {
		x := binary.LittleEndian.Uint64(data)&e.mask ^ e.mask
		if (x-e.low)&^x&high != 0 {
			return false
		}
		data = data[8:]
	}
	var tail [8]byte
	copy(tail[:], data)
	x := binary.LittleEndian.Uint64(tail[:])&e.mask ^ e.mask
	return (x-e.low)&^x&high == 0
}
