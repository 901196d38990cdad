package native

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

var (
	_ backend.LoRAModel  = (*Model)(nil)
	_ backend.LoRAMerger = (*Backend)(nil)
)

// Modules implements [backend.LoRAModel]. A closed model has none.
func (m *Model) Modules() (out []backend.Module) {
	_ = m.run(context.Background(), opLoRA, func() error { // of an open model it cannot fail
		modules, err := m.handle.Modules()
		for _, x := range modules {
			name := x.Name.String()
			component, _, _ := strings.Cut(name, ".")
			out = append(out, backend.Module{Name: name, Kind: named[backend.ModuleKind](bindings.ModuleKinds, x.Kind),
				In: int(x.In), Out: int(x.Out), Kernel: int(x.Kernel), Bias: x.Bias != 0,
				Type: named[backend.Type](bindings.Types, x.Type), Component: component})
		}
		return err
	})
	return out
}

// lora is an adapter on a model.
type lora struct {
	model   *Model
	handle  *bindings.LoRA
	bytes   int64
	targets int
	once    sync.Once
	err     error
}

// LoadLoRA implements [backend.LoRAModel].
func (m *Model) LoadLoRA(ctx context.Context, targets []backend.LoRATarget) (backend.LoRA, error) {
	native := make([]bindings.LoRATarget, len(targets))
	for i, t := range targets {
		var err error
		if native[i], err = loraTarget(opLoRA, t); err != nil {
			return nil, err
		}
	}
	l := &lora{model: m, targets: len(targets)}
	err := m.run(ctx, opLoRA, func() (err error) {
		if l.handle, err = m.handle.LoadLoRA(native); err == nil {
			l.bytes, err = l.handle.Bytes()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// MergeLoRA implements [backend.LoRAMerger].
func (b *Backend) MergeLoRA(w []float32, shape []int, t backend.LoRATarget, weight float64) error {
	native, err := loraTarget(opMerge, t)
	if err != nil {
		return err
	}
	return wrapped(opMerge, b.lib.MergeLoRA(native, weight, w, shape))
}

// loraTarget translates a target, whose tensors the bindings check.
func loraTarget(op string, t backend.LoRATarget) (out bindings.LoRATarget, err error) {
	form := slices.Index(bindings.LoRAForms, string(t.Form))
	if form < 0 {
		return out, invalid(op, "form", "%q of %s is none of the forms", t.Form, t.Module)
	}
	out = bindings.LoRATarget{Module: bindings.Text(t.Module), Form: int32(form), Scale: t.Scale, MagnitudeAxis: int32(t.MagnitudeAxis)}
	for _, x := range []struct {
		name string
		from *backend.RawTensor
		to   *bindings.LoRATensor
	}{{"a", &t.A, &out.A}, {"b", &t.B, &out.B}, {"magnitude", t.Magnitude, &out.Magnitude}} {
		if x.from == nil || x.from.Data == nil {
			continue
		}
		if *x.to, err = bindings.NewLoRATensor(t.Module+": "+x.name, string(x.from.Type), x.from.Shape, x.from.Data); err != nil {
			return out, wrapped(op, err)
		}
	}
	return out, nil
}

// loraShapes turns the shapes of adapters into the bindings'.
func loraShapes(shapes []backend.LoRAShape) (out []bindings.LoRAShape) {
	for _, s := range shapes {
		to := bindings.LoRAShape{Module: bindings.Text(s.Module), Form: number(bindings.LoRAForms, s.Form), Rank: int64(s.Rank)}
		for i, n := range s.Shape {
			to.Shape[i] = int64(n)
		}
		if s.Factors {
			to.Factors = 1
		}
		out = append(out, to)
	}
	return out
}

// loraUses turns the adapters of a call into the bindings'.
func (m *Model) loraUses(op string, uses []backend.LoRAUse) ([]bindings.LoRAUse, error) {
	var out []bindings.LoRAUse
	for i, u := range uses {
		l, ok := u.LoRA.(*lora)
		if !ok || l.model != m {
			return nil, invalid(op, fmt.Sprintf("loras[%d]", i), "was not loaded on this model")
		}
		out = append(out, bindings.LoRAUse{LoRA: l.handle, Weights: u.Weights})
	}
	return out, nil
}

// Bytes implements [backend.LoRA].
func (l *lora) Bytes() int64 { return l.bytes }

// Targets implements [backend.LoRA].
func (l *lora) Targets() int { return l.targets }

// Close implements [backend.LoRA].
func (l *lora) Close() error {
	l.once.Do(func() { l.err = l.model.run(context.Background(), opLoRA, l.handle.Free) })
	return l.err
}

// Builds tells how many graphs and stacks of adapters the model has built so far: calls that differ in adapters' weights
// only build none.
func (m *Model) Builds() (graphs, stacks int64, err error) {
	err = m.run(context.Background(), opCompute, func() (err error) {
		graphs, stacks, err = m.handle.Builds()
		return err
	})
	return graphs, stacks, err
}
