package adapters

import (
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// maxStages is the largest number of stages in a file. A butterfly of 2^20 blocks has 21.
const maxStages = 32

// stagesFit tells whether stages of shape [stages, blocks, n, n] rotate exactly this number of features.
func stagesFit(shape []int, features int) bool {
	if len(shape) != 4 || slices.Min(shape) < 1 || shape[2] != shape[3] || shape[0] > maxStages {
		return false
	}
	stages, blocks, n := shape[0], shape[1], shape[2]
	return features%n == 0 && features/n == blocks && (stages == 1 || n%2 == 0 && blocks%(1<<(stages-1)) == 0)
}

// featureOf is the number of the feature that is this element of this block in a stage.
func featureOf(stage, n, block, element int) int {
	if stage == 0 {
		return block*n + element
	}
	apart, half := 1<<stage, n/2
	return ((block/apart*2+element/half)*apart+block%apart)*half + element%half
}

// rotations are the stages of a target, less the identity.
type rotations struct {
	shape []int
	d     []float32
}

// rows applies the stages to the rows of w, [features, cols], in order. weight scales the difference of each stage to the identity.
func (r rotations) rows(w []float32, cols int, weight float32) {
	n := r.shape[2]
	before := make([]float32, n*cols)
	for i := range r.shape[0] * r.shape[1] {
		stage, block := i/r.shape[1], i%r.shape[1]
		for e := range n {
			copy(before[e*cols:][:cols], w[featureOf(stage, n, block, e)*cols:])
		}
		for o := range n {
			to := w[featureOf(stage, n, block, o)*cols:][:cols]
			for e := range n {
				f := weight * r.d[(i*n+o)*n+e]
				for k, v := range before[e*cols:][:cols] {
					to[k] += f * v
				}
			}
		}
	}
}

// columns multiplies each row of w, [rows, features], by the stages on its right.
func (r rotations) columns(w []float32, features int) {
	n := r.shape[2]
	at, before := make([]int, n), make([]float32, n)
	for ; len(w) > 0; w = w[features:] {
		for i := range r.shape[0] * r.shape[1] {
			for e := range n {
				at[e] = featureOf(i/r.shape[1], n, i%r.shape[1], e)
				before[e] = w[at[e]]
			}
			for e, v := range before {
				for o, d := range r.d[(i*n+e)*n:][:n] {
					w[at[o]] += v * d
				}
			}
		}
	}
}

// rotated returns a rotation's change of w, [rows, cols], at a weight.
func rotated(w []float32, rows int, t backend.LoRATarget, weight float64) ([]float32, error) {
	cols := len(w) / rows
	r, b := rotations{t.A.Shape, decode(t.A)}, decode(t.B)
	features, each := rows, float32(weight)
	if t.Form == backend.LoRAInRotate {
		features, each = cols, 1
	}
	if !stagesFit(r.shape, features) || len(r.d) == 0 || t.B.Data != nil && len(b) != rows {
		return nil, fail(lora.ErrShape, t.Module, "tensors of shapes %v and %v do not rotate %d features", t.A.Shape, t.B.Shape, features)
	}
	out := slices.Clone(w)
	if t.Form == backend.LoRAInRotate {
		r.columns(out, features)
	} else {
		r.rows(out, cols, each)
	}
	for i, v := range w {
		if t.B.Data != nil {
			out[i] += each * b[i/cols] * out[i]
		}
		if out[i] -= v; t.Form == backend.LoRAInRotate {
			out[i] *= float32(weight)
		}
	}
	return out, nil
}

// inLowRank returns scale W B A over the inputs, w of shape [out, in, k, k].
func inLowRank(w []float32, shape []int, t backend.LoRATarget) ([]float32, error) {
	a, b, in := decode(t.A), decode(t.B), 1
	if len(shape) > 1 {
		in = shape[1]
	}
	rank := len(a) / in
	if rank == 0 || len(a) != rank*in || len(b) != in*rank || len(shape) < 2 {
		return nil, fail(lora.ErrShape, t.Module, "tensors of shapes %v and %v are no change of %d inputs", t.A.Shape, t.B.Shape, in)
	}
	for i := range b {
		b[i] *= float32(t.Scale)
	}
	m := multiplyRows(b, a, in, rank, in)
	cells := len(w) / shape[0] / in
	out := make([]float32, len(w))
	for o := range shape[0] {
		from, to := w[o*in*cells:][:in*cells], out[o*in*cells:][:in*cells]
		for j := range in {
			for i, f := range m[j*in:][:in] {
				for p := range cells {
					to[i*cells+p] += f * from[j*cells+p]
				}
			}
		}
	}
	return out, nil
}
