package adapters

import (
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// Merger adds adapters to weights in pure Go; it implements [backend.LoRAMerger]. Sums are in float32, norms in float64.
type Merger struct{}

// MergeLoRA adds weight times a target's change to w, the elements of a weight (or bias, or norm's weight) of the given shape. A
// target whose tensors do not fit is lora.ErrShape.
func (Merger) MergeLoRA(w []float32, shape []int, t backend.LoRATarget, weight float64) error {
	if len(shape) == 0 || len(w) != backend.Count(shape...) || len(w) == 0 {
		return fail(lora.ErrShape, t.Module, "the weight has %d elements, not those of shape %v", len(w), shape)
	}
	rows := shape[0]
	if t.Form == backend.LoRAOutRotate || t.Form == backend.LoRAInRotate {
		change, err := rotated(w, rows, t, weight)
		for i, c := range change {
			w[i] += c
		}
		return err
	}
	change, err := expand(w, rows, shape, t)
	if err != nil {
		return err
	}
	if t.Magnitude != nil {
		if err := decompose(w, change, rows, shape, t); err != nil {
			return err
		}
	}
	for i, c := range change {
		w[i] += float32(weight * float64(c))
	}
	return nil
}

// expand returns a target's change of w, scaled, without its magnitudes.
func expand(w []float32, rows int, shape []int, t backend.LoRATarget) ([]float32, error) {
	a, cols := decode(t.A), len(w)/rows
	misfit := fail(lora.ErrShape, t.Module,
		"tensors of shapes %v and %v do not make up a %s change of %v", t.A.Shape, t.B.Shape, t.Form, shape)
	scale := float32(t.Scale)
	switch t.Form {
	case backend.LoRALowRank:
		b := decode(t.B)
		rank := len(b) / rows
		if rank == 0 || len(b) != rows*rank || len(a) != rank*cols {
			return nil, misfit
		}
		for i := range b {
			b[i] *= scale
		}
		return multiplyRows(b, a, rows, rank, cols), nil
	case backend.LoRAKron:
		b := decode(t.B)
		if a == nil || b == nil || len(t.A.Shape) != 2 || len(t.B.Shape) != 2 ||
			t.A.Shape[0]*t.B.Shape[0] != rows || t.A.Shape[1]*t.B.Shape[1] != cols {
			return nil, misfit
		}
		for i := range b {
			b[i] *= scale
		}
		return kronecker(a, b, t.A.Shape[0], t.A.Shape[1], t.B.Shape[0], t.B.Shape[1], 1), nil
	case backend.LoRADense, backend.LoRABias, backend.LoRANorm:
		if len(a) != len(w) {
			return nil, misfit
		}
		for i := range a {
			a[i] *= scale
		}
		return a, nil
	case backend.LoRAInLowRank:
		return inLowRank(w, shape, t)
	case backend.LoRAInScale, backend.LoRAOutScale, backend.LoRABiasScale:
		n, step := rows, 1
		if t.Form == backend.LoRAInScale && len(shape) > 1 {
			n, step = shape[1], cols/shape[1] // elements of a kernel
		}
		if len(a) != n {
			return nil, misfit
		}
		out := make([]float32, len(w))
		for i, v := range w {
			k := i / cols
			if t.Form == backend.LoRAInScale {
				k = i % cols / step
			}
			out[i] = v * a[k] * scale
		}
		return out, nil
	}
	return nil, fail(lora.ErrConfig, t.Module, "has the unknown form %q", t.Form)
}

// decompose turns change into DoRA's: m (w + change) / |w + change| - w, the norm taken over all that share a magnitude.
func decompose(w, change []float32, rows int, shape []int, t backend.LoRATarget) error {
	m, cols := decode(*t.Magnitude), len(w)/rows
	n, step := rows, 1
	if t.MagnitudeAxis == 1 && len(shape) > 1 {
		n, step = shape[1], cols/shape[1]
	}
	if len(m) != n {
		return fail(lora.ErrShape, t.Module, "%d magnitudes for %d rows or columns", len(m), n)
	}
	which := func(i int) int {
		if t.MagnitudeAxis == 1 {
			return i % cols / step
		}
		return i / cols
	}
	squares := make([]float64, n)
	for i, v := range w {
		x := float64(v + change[i])
		squares[which(i)] += x * x
	}
	for i, v := range w {
		k := which(i)
		if norm := math.Sqrt(squares[k]); norm > 0 {
			change[i] = float32(float64(m[k])/norm*float64(v+change[i])) - v
		}
	}
	return nil
}

// decode returns a tensor's elements; nil where its data is not what it says.
func decode(t backend.RawTensor) []float32 {
	out := make([]float32, backend.Count(t.Shape...))
	if !modelfile.DType(strings.ToUpper(string(t.Type))).Decode(t.Data, out) {
		return nil
	}
	return out
}

// multiplyRows is multiply with the rows dealt out to all processors.
func multiplyRows(a, b []float32, rows, inner, cols int) []float32 {
	workers := min(runtime.GOMAXPROCS(0), rows)
	if rows*inner*cols < 1<<20 || workers < 2 {
		return multiply(a, b, rows, inner, cols)
	}
	parts := make([][]float32, workers)
	var wait sync.WaitGroup
	for k := range workers {
		from, to := k*rows/workers, (k+1)*rows/workers
		wait.Go(func() { parts[k] = multiply(a[from*inner:to*inner], b, to-from, inner, cols) })
	}
	wait.Wait()
	return slices.Concat(parts...)
}
