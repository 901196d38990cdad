package modelfile

import (
	"encoding/binary"
	"math"
)

// number reads one number of a block: from its offset on, as of reads it.
type number struct {
	at int
	of func([]byte) float32
}

// half is a number in F16 at an offset.
func half(at int) number { return number{at, convertible[F16]} }

// blockScales are the numbers of each of ggml's quantized types that its values are multiplied by or added to, one after the other in a
// block, as the structs of ggml-common.h lay them out. Whatever else is in a block is an integer. NVFP4 is missing: none of its scales'
// bytes is read as NaN or as an infinity.
var blockScales = map[DType][]number{
	"Q4_0": {half(0)}, "Q4_1": {half(0), half(2)}, "Q5_0": {half(0)}, "Q5_1": {half(0), half(2)},
	"Q8_0": {half(0)}, "Q8_1": {half(0)}, "Q1_0": {half(0)}, "MXFP4": {{0, halfE8M0}},
	"Q2_K": {half(80), half(82)}, "Q3_K": {half(108)}, "Q4_K": {half(0), half(2)}, "Q5_K": {half(0), half(2)}, "Q6_K": {half(208)},
	"Q8_K": {{0, convertible[F32]}}, "TQ1_0": {half(52)}, "TQ2_0": {half(64)},
	"IQ1_S": {half(0)}, "IQ1_M": {{48, scattered}}, "IQ2_XXS": {half(0)}, "IQ2_XS": {half(0)}, "IQ2_S": {half(0)}, "IQ3_XXS": {half(0)},
	"IQ3_S": {half(0)}, "IQ4_NL": {half(0)}, "IQ4_XS": {half(0)},
}

// halfE8M0 is half of a power of two, as ggml reads MXFP4's exponent.
func halfE8M0(b []byte) float32 { return float32(math.Ldexp(1, int(b[0])-128)) }

// scattered is IQ1_M's scale in F16, whose digits are the highest four bits of each of four numbers.
func scattered(b []byte) float32 {
	var bits uint16
	for i := range 4 {
		bits |= binary.LittleEndian.Uint16(b[2*i:]) >> 12 << (4 * i)
	}
	return HalfToFloat32(bits)
}

// numbersOf are the numbers of a block of a type: the value itself where it is of one, or the scales. nil: none are looked at.
func numbersOf(d DType) []number {
	if of := convertible[d]; of != nil {
		return []number{{0, of}}
	}
	return blockScales[d]
}
