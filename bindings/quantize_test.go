package bindings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const f16, q8 = 2, 4

func TestQuantizePassesEveryInput(t *testing.T) {
	lib := fake(t)
	var bytes uintptr
	require.NoError(t, check("dg_row_bytes", func(msg *byte, size uintptr) int32 { return lib.fn.rowBytes(q8, 6, &bytes, msg, size) }))
	require.EqualValues(t, 6, bytes)
	values, out := []float32{1, 2, 3, 4, 5, 6}, make([]byte, 6)
	require.NoError(t, lib.Quantize(q8, values, 3, out))
	require.Equal(t, []byte{5, 6, 7, 8, 9, 10}, out)
	back := make([]float32, 6)
	require.NoError(t, lib.Dequantize(q8, out, 2, back))
	require.Equal(t, values, back)
}

func TestQuantizeChecks(t *testing.T) {
	lib := fake(t)
	err := check("dg_row_bytes", func(msg *byte, size uintptr) int32 { return lib.fn.rowBytes(0, 6, new(uintptr), msg, size) })
	require.ErrorContains(t, err, "type")
	require.ErrorContains(t, lib.Quantize(f16, make([]float32, 5), 2, make([]byte, 5)), "5 values are no rows of 2")
	require.ErrorContains(t, lib.Quantize(f16, nil, 2, nil), "0 values")
	require.ErrorContains(t, lib.Quantize(f16, make([]float32, 4), 2, make([]byte, 5)), "out_bytes")
	require.ErrorContains(t, lib.Dequantize(f16, make([]byte, 4), 0, make([]float32, 4)), "no rows of 0")
	require.ErrorContains(t, lib.Dequantize(f16, make([]byte, 3), 2, make([]float32, 4)), "data_bytes")
}
