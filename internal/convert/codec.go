package convert

import (
	"fmt"
	"math"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// codec converts between stored bytes and float32.
type codec struct{ quantizer backend.Quantizer }

// decode fills values, rows of columns elements.
func (c codec) decode(t modelfile.DType, b []byte, columns int, values []float32) error {
	if !t.Quantized() {
		if !t.Decode(b, values) {
			return fmt.Errorf("%w: type %s is not read as numbers", modelfile.ErrUnsupported, t)
		}
		if t == modelfile.F8E4M3 || t == modelfile.F8E5M2 { // of which damaged files are full
			for _, v := range values {
				if v-v != 0 {
					return fmt.Errorf("%w: a weight of type %s is not a finite number", ErrValue, t)
				}
			}
		}
		return nil
	}
	return c.quantizer.Dequantize(nativeType(t), b, columns, values)
}

// encode fills b. What the type cannot hold is an ErrValue: numbers that are too large for F16, and those that are none for
// quantized types.
func (c codec) encode(t modelfile.DType, values []float32, columns int, b []byte) error {
	limit := math.Inf(1)
	switch {
	case t == modelfile.F16:
		limit = 65504 // the largest binary16
	case t.Quantized():
		limit = math.MaxFloat32
	}
	for _, v := range values {
		a := math.Abs(float64(v))
		if a > limit && !(t == modelfile.F16 && math.IsInf(a, 1)) {
			return fmt.Errorf("%w: %g, and %s holds %g at most", ErrValue, v, t, limit)
		}
		if a != a && t.Quantized() {
			return fmt.Errorf("%w: not a number, which %s cannot hold", ErrValue, t)
		}
	}
	if t.Quantized() {
		return c.quantizer.Quantize(nativeType(t), values, columns, b)
	}
	t.Encode(values, b)
	return nil
}

// nativeType is ggml's spelling in lower case.
func nativeType(t modelfile.DType) backend.Type { return backend.Type(strings.ToLower(string(t))) }
