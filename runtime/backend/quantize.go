package backend

// Quantizer converts weights between float32 and the types that files hold. Its methods need no model and are safe for
// concurrent use.
type Quantizer interface {
	// Quantize converts rows of columns values into out, which has exactly their bytes in t. Rows of quantized types are
	// made of whole blocks (32 elements, 256 for the K types), and their values are finite; else it is an error.
	Quantize(t Type, values []float32, columns int, out []byte) error
	// Dequantize is the reverse, exact for what is stored.
	Dequantize(t Type, data []byte, columns int, values []float32) error
}
