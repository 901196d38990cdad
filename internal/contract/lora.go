package contract

import (
	"fmt"
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// loraForms lists the forms, in the ABI's order.
var loraForms = []backend.LoRAForm{backend.LoRALowRank, backend.LoRAKron, backend.LoRADense, backend.LoRAInScale, backend.LoRAOutScale,
	backend.LoRABias, backend.LoRANorm, backend.LoRABiasScale, backend.LoRAInLowRank, backend.LoRAOutRotate, backend.LoRAInRotate}

// Target checks that a target's module is one of these, and that its tensors have the shapes of its form.
func Target(modules []backend.Module, t backend.LoRATarget) error {
	at := slices.IndexFunc(modules, func(m backend.Module) bool { return m.Name == t.Module })
	if at < 0 {
		return unfit("there is no module %q", t.Module)
	}
	m := modules[at]
	sizes := map[backend.Type]int{backend.TypeF32: 4, backend.TypeF16: 2, backend.TypeBF16: 2}
	for _, x := range []backend.RawTensor{t.A, t.B} {
		if len(x.Data) != sizes[x.Type]*backend.Count(x.Shape...) {
			return Invalid(t.Module, "%d bytes of %s for shape %v", len(x.Data), x.Type, x.Shape)
		}
	}
	conv := m.Kind == backend.ModuleConv2D
	weight := []int{m.Out, m.In}
	a, b := []int{Any, m.In}, []int{m.Out, Any}
	switch {
	case conv:
		weight = append(weight, m.Kernel, m.Kernel)
		a, b = append(a, m.Kernel, m.Kernel), append(b, 1, 1)
	case m.Kind == backend.ModuleNorm:
		weight = []int{m.Out}
	}
	switch t.Form {
	case backend.LoRALowRank:
		if m.Kind == backend.ModuleNorm || !fits(t.A, a) || !fits(t.B, b) || t.A.Shape[0] != t.B.Shape[1] {
			return unfit("A %v and B %v do not fit %s", t.A.Shape, t.B.Shape, m.Name)
		}
		return nil
	case backend.LoRAKron:
		x, y := t.A.Shape, t.B.Shape
		if conv && m.Kernel != 1 || len(x) != 2 || len(y) != 2 || x[0]*y[0] != m.Out || x[1]*y[1] != m.In {
			return unfit("A %v and B %v do not fit %s", x, y, m.Name)
		}
		return nil
	case backend.LoRADense:
	case backend.LoRAInScale:
		weight = []int{m.In}
	case backend.LoRAInLowRank:
		a, b := []int{Any, m.In}, []int{m.In, Any}
		if conv {
			a, b = append(a, 1, 1), append(b, 1, 1)
		}
		if m.Kind == backend.ModuleNorm || !fits(t.A, a) || !fits(t.B, b) || t.A.Shape[0] != t.B.Shape[1] {
			return unfit("A %v and B %v do not fit %s", t.A.Shape, t.B.Shape, m.Name)
		}
		return nil
	case backend.LoRAOutRotate, backend.LoRAInRotate:
		features := m.Out
		if t.Form == backend.LoRAInRotate {
			features = m.In * max(m.Kernel, 1) * max(m.Kernel, 1)
		}
		if !rotates(t.A, features) || t.B.Data != nil && !fits(t.B, []int{m.Out}) {
			return unfit("A %v and B %v do not rotate %s", t.A.Shape, t.B.Shape, m.Name)
		}
		return nil
	case backend.LoRAOutScale, backend.LoRABias, backend.LoRANorm, backend.LoRABiasScale:
		weight = []int{m.Out}
	default:
		return Invalid("form", "%q of %s is none of the forms", t.Form, t.Module)
	}
	if !fits(t.A, weight) || t.B.Data != nil {
		return unfit("A %v does not fit %s, which needs %v", t.A.Shape, m.Name, weight)
	}
	return nil
}

// rotates tells whether stages [stages, blocks, n, n] have exactly this number of features.
func rotates(a backend.RawTensor, features int) bool {
	if !fits(a, []int{Any, Any, Any, Any}) || a.Shape[2] != a.Shape[3] {
		return false
	}
	stages, blocks, n := a.Shape[0], a.Shape[1], a.Shape[2]
	return blocks*n == features && (stages == 1 || n%2 == 0 && stages <= 32 && blocks%(1<<(stages-1)) == 0)
}

// unfit is the error of an adapter that does not fit the model.
func unfit(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, backend.ErrModel)...)
}

// fits tells whether a tensor has the shape.
func fits(t backend.RawTensor, shape []int) bool {
	return slices.EqualFunc(t.Shape, shape, func(have, want int) bool { return have > 0 && (want == Any || have == want) })
}
