package native_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// relative root mean square errors of a normal distribution in each type, with a margin; the fewer bits, the larger.
var quantizationErrors = []struct {
	t     backend.Type
	bytes int // of 256 elements
	most  float64
}{
	{backend.TypeF32, 1024, 0}, {backend.TypeF16, 512, 3e-4}, {backend.TypeBF16, 512, 2.5e-3},
	{backend.TypeQ8_0, 272, 0.007}, {backend.TypeQ6_K, 210, 0.02}, {backend.TypeQ5_1, 192, 0.05}, {backend.TypeQ5_0, 176, 0.05},
	{backend.TypeQ5_K, 176, 0.05}, {backend.TypeQ4_1, 160, 0.1}, {backend.TypeQ4_0, 144, 0.1}, {backend.TypeQ4_K, 144, 0.1},
	{backend.TypeIQ4_NL, 144, 0.085}, {backend.TypeQ3_K, 110, 0.15}, {backend.TypeQ2_K, 84, 0.4},
}

func TestQuantizeRoundTrip(t *testing.T) {
	b, _ := nanoBackend(t)
	require.Len(t, quantizationErrors, len(backend.Types)-1, "every type but auto")
	values := make([]float32, 8*256)
	for i := range values { // normal, by the quantiles in a shuffled order
		values[i] = float32(math.Sqrt2 * math.Erfinv(2*(float64(i*577%len(values))+0.5)/float64(len(values))-1))
	}
	for _, c := range quantizationErrors {
		data, back := make([]byte, 8*c.bytes), make([]float32, len(values))
		require.NoError(t, b.Quantize(c.t, values, 256, data), c.t)
		require.NoError(t, b.Dequantize(c.t, data, 256, back), c.t)
		var e, n float64
		for i, v := range values {
			e += float64(v-back[i]) * float64(v-back[i])
			n += float64(v) * float64(v)
		}
		e = math.Sqrt(e / n)
		assert.LessOrEqual(t, e, c.most, c.t)
		assert.GreaterOrEqual(t, e, c.most/4, "%s: the bound is no bound", c.t)
	}
}

func TestQuantizeRefusals(t *testing.T) {
	b, _ := nanoBackend(t)
	for name, c := range map[string]struct {
		t       backend.Type
		values  []float32
		columns int
		bytes   int
		says    string
	}{
		"unknown type":      {"q9", make([]float32, 32), 32, 34, `"q9" is unknown`},
		"auto":              {backend.TypeAuto, make([]float32, 32), 32, 34, "no DG_TYPE"},
		"half a block":      {backend.TypeQ8_0, make([]float32, 16), 16, 17, "columns: 16 is no positive multiple of 32, the block of q8_0"},
		"half a row":        {backend.TypeQ8_0, make([]float32, 48), 32, 51, "48 values are no rows of 32"},
		"the wrong buffer":  {backend.TypeQ8_0, make([]float32, 32), 32, 33, "a buffer of 33 bytes is given where q8_0 needs 34"},
		"a K type's block":  {backend.TypeQ4_K, make([]float32, 640), 640, 360, "multiple of 256"},
		"not a number":      {backend.TypeQ2_K, append(make([]float32, 255), float32(math.NaN())), 256, 84, "value 255 is not finite"},
		"an infinite value": {backend.TypeQ8_0, append(make([]float32, 31), float32(math.Inf(-1))), 32, 34, "value 31 is not finite"},
	} {
		err := b.Quantize(c.t, c.values, c.columns, make([]byte, c.bytes))
		assert.ErrorContains(t, err, c.says, name)
	}
}
