package bindings

import "unsafe"

// quantizeFuncs convert weights for files that are written. They need no model.
type quantizeFuncs struct {
	// DG_API dg_status dg_row_bytes(int32_t type, int64_t columns, size_t* bytes, char* msg, size_t msg_cap);
	rowBytes func(typ int32, columns int64, bytes *uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_quantize(int32_t type, const float* values, int64_t rows, int64_t columns, uint8_t* out, size_t out_bytes, char* msg, size_t msg_cap);
	quantize func(typ int32, values *float32, rows, columns int64, out *byte, outBytes uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_dequantize(int32_t type, const uint8_t* data, size_t data_bytes, int64_t rows, int64_t columns, float* values, char* msg, size_t msg_cap);
	dequantize func(typ int32, data *byte, dataBytes uintptr, rows, columns int64, values *float32, msg *byte, msgCap uintptr) int32
}

func (f *quantizeFuncs) symbols() []symbol {
	return []symbol{
		{"dg_row_bytes", &f.rowBytes},
		{"dg_quantize", &f.quantize},
		{"dg_dequantize", &f.dequantize},
	}
}

// RowBytes returns the bytes of one row of columns elements. Rows of quantized types are made of whole blocks.
func (l *Library) RowBytes(typ Type, columns int64) (int64, error) {
	var bytes uintptr
	err := check("dg_row_bytes", func(msg *byte, msgCap uintptr) int32 {
		return l.fn.rowBytes(int32(typ), columns, &bytes, msg, msgCap)
	})
	return int64(bytes), err
}

// Quantize converts values, rows of columns elements, into out, which has exactly the bytes of those rows in typ. Values
// must be finite for quantized types. It is safe for concurrent use.
func (l *Library) Quantize(typ Type, values []float32, columns int64, out []byte) error {
	const op = "dg_quantize"
	rows, err := rowsOf(op, len(values), columns)
	if err != nil {
		return err
	}
	return check(op, func(msg *byte, msgCap uintptr) int32 {
		return l.fn.quantize(int32(typ), unsafe.SliceData(values), rows, columns, unsafe.SliceData(out), uintptr(len(out)), msg, msgCap)
	})
}

// Dequantize is the reverse of Quantize, exact for what is stored. It is safe for concurrent use.
func (l *Library) Dequantize(typ Type, data []byte, columns int64, values []float32) error {
	const op = "dg_dequantize"
	rows, err := rowsOf(op, len(values), columns)
	if err != nil {
		return err
	}
	return check(op, func(msg *byte, msgCap uintptr) int32 {
		return l.fn.dequantize(int32(typ), unsafe.SliceData(data), uintptr(len(data)), rows, columns, unsafe.SliceData(values), msg, msgCap)
	})
}

// rowsOf is the number of whole rows of columns elements in count values.
func rowsOf(op string, count int, columns int64) (int64, error) {
	if count == 0 || columns < 1 || int64(count)%columns != 0 {
		return 0, argumentf(op, "%d values are no rows of %d", count, columns)
	}
	return int64(count) / columns, nil
}
