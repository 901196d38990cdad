package native

import (
	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

var _ backend.Quantizer = (*Backend)(nil)

// Quantize implements [backend.Quantizer].
func (b *Backend) Quantize(t backend.Type, values []float32, columns int, out []byte) error {
	typ, err := checked(opQuantize, "type", bindings.Types, t)
	if err != nil {
		return err
	}
	return wrapped(opQuantize, b.lib.Quantize(typ, values, int64(columns), out))
}

// Dequantize implements [backend.Quantizer].
func (b *Backend) Dequantize(t backend.Type, data []byte, columns int, values []float32) error {
	typ, err := checked(opQuantize, "type", bindings.Types, t)
	if err != nil {
		return err
	}
	return wrapped(opQuantize, b.lib.Dequantize(typ, data, int64(columns), values))
}
