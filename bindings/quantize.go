package bindings

import "unsafe"

// Quantize converts values, rows of columns elements, into out, which has exactly the bytes of those rows in typ. Values
// must be finite for quantized types. It is safe for concurrent use.
func (l *Library) Quantize(typ int32, values []float32, columns int64, out []byte) error {
	const op = "dg_quantize"
	rows, err := rowsOf(op, len(values), columns)
	if err != nil {
		return err
	}
	return check(op, func(msg *byte, size uintptr) int32 {
		return l.fn.quantize(typ, unsafe.SliceData(values), rows, columns, unsafe.SliceData(out), uintptr(len(out)), msg, size)
	})
}

// Dequantize is the reverse of Quantize, exact for what is stored. It is safe for concurrent use.
func (l *Library) Dequantize(typ int32, data []byte, columns int64, values []float32) error {
	const op = "dg_dequantize"
	rows, err := rowsOf(op, len(values), columns)
	if err != nil {
		return err
	}
	return check(op, func(msg *byte, size uintptr) int32 {
		return l.fn.dequantize(typ, unsafe.SliceData(data), uintptr(len(data)), rows, columns, unsafe.SliceData(values), msg, size)
	})
}

// rowsOf is the number of whole rows of columns elements in count values.
func rowsOf(op string, count int, columns int64) (int64, error) {
	if count == 0 || columns < 1 || int64(count)%columns != 0 {
		return 0, argumentf(op, "%d values are no rows of %d", count, columns)
	}
	return int64(count) / columns, nil
}
