package convert

import (
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Size returns the bytes of tensor data that Convert would write, from headers alone.
func Size(in string, opt Options) (int64, error) {
	c, err := modelfile.OpenAll(in)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if opt.Quantizer == nil {
		opt.Quantizer = noQuantizer{} // sizes need none
	}
	p, err := newPlan(c, opt)
	if err != nil {
		return 0, err
	}
	return p.bytes(), nil
}

// noQuantizer is never called.
type noQuantizer struct{}

// Quantize implements backend.Quantizer.
func (noQuantizer) Quantize(backend.Type, []float32, int, []byte) error { return ErrOptions }

// Dequantize implements backend.Quantizer.
func (noQuantizer) Dequantize(backend.Type, []byte, int, []float32) error { return ErrOptions }
