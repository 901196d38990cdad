package adapters

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

var _ backend.LoRAMerger = Merger{}

// raw makes a tensor of a test.
func raw(name string, shape ...int) backend.RawTensor {
	return floatTensor(random(name, shape...).data, shape...)
}

// TestMerge compares every form with its definition, for a matrix and for a kernel.
func TestMerge(t *testing.T) {
	for name, c := range map[string]struct {
		shape  []int
		target backend.LoRATarget
	}{
		"low rank": {[]int{12, 10}, backend.LoRATarget{Form: backend.LoRALowRank, A: raw("a", 3, 10), B: raw("b", 12, 3),
			Scale: 0.5}},
		"low rank, large": {[]int{300, 200}, backend.LoRATarget{Form: backend.LoRALowRank, A: raw("a", 32, 200), B: raw("b", 300, 32),
			Scale: 0.5}},
		"low rank, convolution": {[]int{6, 4, 3, 3}, backend.LoRATarget{Form: backend.LoRALowRank, A: raw("a", 2, 4, 3, 3),
			B: raw("b", 6, 2, 1, 1), Scale: 2}},
		"kron":  {[]int{12, 10}, backend.LoRATarget{Form: backend.LoRAKron, A: raw("a", 3, 5), B: raw("b", 4, 2), Scale: 0.3}},
		"dense": {[]int{6, 4, 3, 3}, backend.LoRATarget{Form: backend.LoRADense, A: raw("a", 6, 4, 3, 3), Scale: 0.3}},
		"bias":  {[]int{6}, backend.LoRATarget{Form: backend.LoRABias, A: raw("a", 6), Scale: 1}},
		"norm":  {[]int{6}, backend.LoRATarget{Form: backend.LoRANorm, A: raw("a", 6), Scale: 1}},
		"out":   {[]int{12, 10}, backend.LoRATarget{Form: backend.LoRAOutScale, A: raw("a", 12), Scale: 2}},
		"in":    {[]int{12, 10}, backend.LoRATarget{Form: backend.LoRAInScale, A: raw("a", 10), Scale: 2}},
	} {
		weight := random("w", c.shape...).data
		before := make([]float64, len(weight))
		for i, v := range weight {
			before[i] = float64(v)
		}
		rows := c.shape[0]
		want := delta(t, c.target, before, rows, len(weight)/rows)
		require.NoError(t, Merger{}.MergeLoRA(weight, c.shape, c.target, -0.7), name)
		have := make([]float64, len(weight))
		for i, v := range weight {
			have[i] = float64(v)
			want[i] = before[i] - 0.7*want[i]
		}
		requireClose(t, want, have)
	}
}

// TestMergeDoRA: at weight 1 the rows, or columns, get their magnitudes; and the change is linear in the weight.
func TestMergeDoRA(t *testing.T) {
	for axis, n := range []int{6, 4} {
		for _, shape := range [][]int{{6, 4}, {6, 4, 3, 3}} {
			m := floatTensor([]float32{1, 2, 3, 4, 5, 6}[:n], n)
			cells := backend.Count(shape[2:]...)
			target := backend.LoRATarget{Form: backend.LoRALowRank, A: raw("a", append([]int{2}, shape[1:]...)...), B: raw("b", 6, 2), Scale: 0.5,
				Magnitude: &m, MagnitudeAxis: axis}
			before := random("w", shape...).data
			merge := func(weight float64) []float32 {
				w := append([]float32(nil), before...)
				require.NoError(t, Merger{}.MergeLoRA(w, shape, target, weight))
				return w
			}
			one, half := merge(1), merge(0.5)
			squares := make([]float64, n)
			for i, v := range one {
				k := i / (4 * cells)
				if axis == 1 {
					k = i % (4 * cells) / cells
				}
				squares[k] += float64(v) * float64(v)
				assert.InDelta(t, (before[i]+v)/2, half[i], 1e-5)
			}
			for k, s := range squares {
				assert.InDelta(t, float64(k+1), math.Sqrt(s), 1e-5)
			}
			assert.Equal(t, before, merge(0))
		}
	}
}

func TestMergeMisfits(t *testing.T) {
	w := make([]float32, 12)
	m := floatTensor([]float32{1}, 1)
	for name, target := range map[string]backend.LoRATarget{
		"low rank":  {Form: backend.LoRALowRank, A: raw("a", 2, 5), B: raw("b", 3, 2)},
		"kron":      {Form: backend.LoRAKron, A: raw("a", 2, 2), B: raw("b", 2, 2)},
		"dense":     {Form: backend.LoRADense, A: raw("a", 5)},
		"in":        {Form: backend.LoRAInScale, A: raw("a", 3)},
		"out":       {Form: backend.LoRAOutScale, A: raw("a", 4)},
		"magnitude": {Form: backend.LoRADense, A: raw("a", 3, 4), Magnitude: &m},
	} {
		require.ErrorIs(t, Merger{}.MergeLoRA(w, []int{3, 4}, target, 1), lora.ErrShape, name)
	}
	require.ErrorIs(t, Merger{}.MergeLoRA(w, []int{3, 5}, backend.LoRATarget{}, 1), lora.ErrShape)
	require.ErrorIs(t, Merger{}.MergeLoRA(w, []int{3, 4}, backend.LoRATarget{Form: "x"}, 1), lora.ErrConfig)
}
