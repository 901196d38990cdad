package modelfile

import (
	"math/bits"
	"slices"
)

// DType names how the elements of a tensor are stored, in the spelling of safetensors and of ggml:
// "F32", "F16", "BF16", "F8_E4M3", "I64", "Q8_0", "Q4_K", ...
type DType string

// The element types that are read as numbers.
const (
	F64    DType = "F64"
	F32    DType = "F32"
	F16    DType = "F16"
	BF16   DType = "BF16"
	F8E4M3 DType = "F8_E4M3" // OCP E4M3 "fn": no infinities, NaN is 0x7F
	F8E5M2 DType = "F8_E5M2"
	I64    DType = "I64"
	I32    DType = "I32"
	I16    DType = "I16"
	I8     DType = "I8"
	U64    DType = "U64"
	U32    DType = "U32"
	U16    DType = "U16"
	U8     DType = "U8"
	Bool   DType = "BOOL"
)

// blockOf holds, for every known type, elements per block and bytes per block.
type blockOf struct{ elements, bytes int64 }

var dtypes = map[DType]blockOf{
	F64: {1, 8}, F32: {1, 4}, F16: {1, 2}, BF16: {1, 2}, F8E4M3: {1, 1}, F8E5M2: {1, 1},
	"F8_E8M0": {1, 1}, "F8_E4M3FNUZ": {1, 1}, "F8_E5M2FNUZ": {1, 1},
	I64: {1, 8}, I32: {1, 4}, I16: {1, 2}, I8: {1, 1},
	U64: {1, 8}, U32: {1, 4}, U16: {1, 2}, U8: {1, 1}, Bool: {1, 1},
	"C32": {1, 4}, "C64": {1, 8}, "C128": {1, 16}, "F4": {2, 1},
	// ggml's quantized types; sizes are those of the block structs in ggml-common.h.
	"Q4_0": {32, 18}, "Q4_1": {32, 20}, "Q5_0": {32, 22}, "Q5_1": {32, 24}, "Q8_0": {32, 34}, "Q8_1": {32, 36},
	"Q2_K": {256, 84}, "Q3_K": {256, 110}, "Q4_K": {256, 144}, "Q5_K": {256, 176}, "Q6_K": {256, 210}, "Q8_K": {256, 292},
	"IQ2_XXS": {256, 66}, "IQ2_XS": {256, 74}, "IQ3_XXS": {256, 98}, "IQ1_S": {256, 50}, "IQ4_NL": {32, 18},
	"IQ3_S": {256, 110}, "IQ2_S": {256, 82}, "IQ4_XS": {256, 136}, "IQ1_M": {256, 56},
	"TQ1_0": {256, 54}, "TQ2_0": {256, 66}, "MXFP4": {32, 17}, "NVFP4": {64, 36}, "Q1_0": {128, 18},
}

// ggmlTypes maps enum ggml_type, as written in GGUF files, to a DType.
var ggmlTypes = map[uint32]DType{
	0: F32, 1: F16, 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
	10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K",
	16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
	24: I8, 25: I16, 26: I32, 27: I64, 28: F64, 29: "IQ1_M", 30: BF16,
	34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
}

// ggmlIDs is the reverse of ggmlTypes.
var ggmlIDs = func() map[DType]uint32 {
	m := map[DType]uint32{}
	for id, d := range ggmlTypes {
		m[d] = id
	}
	return m
}()

// GGML returns the number of the type in enum ggml_type, and whether ggml has it.
func (d DType) GGML() (uint32, bool) {
	id, ok := ggmlIDs[d]
	return id, ok
}

// Known reports whether the type is one this package can size.
func (d DType) Known() bool { _, ok := dtypes[d]; return ok }

// Quantized reports whether elements are stored in blocks with shared scales.
func (d DType) Quantized() bool {
	b := dtypes[d]
	return b.elements > 1
}

// Float reports whether the type is a plain floating-point number.
func (d DType) Float() bool {
	switch d {
	case F64, F32, F16, BF16, F8E4M3, F8E5M2:
		return true
	}
	return false
}

// Bytes returns the size of count elements whose innermost dimension is row, and whether it is
// representable: a known type, rows of whole blocks, no overflow.
func (d DType) Bytes(count, row int64) (int64, bool) {
	b, ok := dtypes[d]
	if !ok || count < 0 {
		return 0, false
	}
	if b.elements > 1 && count > 0 && (row <= 0 || row%b.elements != 0) {
		return 0, false
	}
	return times(count/b.elements, b.bytes)
}

// times multiplies two sizes; false when the result exceeds 2^62.
func times(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi != 0 || lo > 1<<62 {
		return 0, false
	}
	return int64(lo), true
}

// product multiplies dimensions; false on a negative one or when the result exceeds 2^62.
func product(shape []int64) (n int64, ok bool) {
	n = 1
	for _, d := range shape {
		if n, ok = times(n, max(d, 1)); !ok || d < 0 {
			return 0, false
		}
	}
	if slices.Contains(shape, 0) {
		return 0, true
	}
	return n, true
}
