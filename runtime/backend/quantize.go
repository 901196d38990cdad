package backend

// Quantizer is a Backend that converts weights between float32 and the types in files. Its methods are safe for concurrent use.
type Quantizer interface {
	// Quantize converts values to t. There are columns of them in a row. out has exactly the size of the result. Rows of
	// quantized types have whole blocks (32 elements, 256 for the K types), and their values are finite; else it is an error.
	Quantize(t Type, values []float32, columns int, out []byte) error
	// Dequantize is the reverse, and exact.
	Dequantize(t Type, data []byte, columns int, values []float32) error
}
