package native

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

var (
	_ backend.LoRAModel  = (*Model)(nil)
	_ backend.LoRAMerger = (*Backend)(nil)
)

var moduleKinds = map[bindings.ModuleKind]backend.ModuleKind{
	bindings.ModuleLinear: backend.ModuleLinear, bindings.ModuleConv2D: backend.ModuleConv2D,
	bindings.ModuleNorm: backend.ModuleNorm, bindings.ModuleEmbedding: backend.ModuleEmbedding,
}

var loraForms = map[backend.LoRAForm]bindings.LoRAForm{
	backend.LoRALowRank: bindings.LoRALowRank, backend.LoRAKron: bindings.LoRAKron, backend.LoRADense: bindings.LoRADense,
	backend.LoRAInScale: bindings.LoRAInScale, backend.LoRAOutScale: bindings.LoRAOutScale,
	backend.LoRABias: bindings.LoRABias, backend.LoRANorm: bindings.LoRANorm,
}

// Modules implements [backend.LoRAModel]. A closed model has none.
func (m *Model) Modules() (out []backend.Module) {
	_ = m.run(context.Background(), OpLoRA, func() error { // of an open model it cannot fail
		modules, err := m.handle.Modules()
		for _, x := range modules {
			name := x.Name.String()
			component, _, _ := strings.Cut(name, ".")
			out = append(out, backend.Module{Name: name, Kind: moduleKinds[x.Kind], In: int(x.In), Out: int(x.Out), Kernel: int(x.Kernel),
				Type: types.toGo(x.Type), Component: component})
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
		if native[i], err = loraTarget(OpLoRA, t); err != nil {
			return nil, err
		}
	}
	l := &lora{model: m, targets: len(targets)}
	err := m.run(ctx, OpLoRA, func() (err error) {
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
	native, err := loraTarget(OpMergeLoRA, t)
	if err != nil {
		return err
	}
	if err := b.lib.MergeLoRA(native, weight, w, wide(shape)); err != nil {
		return &Error{Op: OpMergeLoRA, Err: err}
	}
	return nil
}

func loraTarget(op Op, t backend.LoRATarget) (out bindings.LoRATarget, err error) {
	form, ok := loraForms[t.Form]
	if !ok {
		return out, invalid(op, "form", "%q of %s is none of the forms", t.Form, t.Module)
	}
	out = bindings.LoRATarget{Module: t.Module, Form: form, Scale: t.Scale, MagnitudeAxis: int32(t.MagnitudeAxis)}
	if out.A, err = loraTensor(op, t.A); err != nil {
		return out, err
	}
	if out.B, err = loraTensor(op, t.B); err != nil {
		return out, err
	}
	if t.Magnitude != nil {
		out.Magnitude, err = loraTensor(op, *t.Magnitude)
	}
	return out, err
}

func loraTensor(op Op, t backend.RawTensor) (bindings.LoRATensor, error) {
	if t.Data == nil {
		return bindings.LoRATensor{}, nil
	}
	typ, err := types.toABI(op, "type", t.Type)
	return bindings.LoRATensor{Data: t.Data, Type: typ, Shape: wide(t.Shape)}, err
}

func wide(shape []int) []int64 {
	out := make([]int64, len(shape))
	for i, n := range shape {
		out[i] = int64(n)
	}
	return out
}

// loraUses turns the adapters of a call into the bindings'.
func (m *Model) loraUses(op Op, uses []backend.LoRAUse) ([]bindings.LoRAUse, error) {
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
	l.once.Do(func() { l.err = l.model.run(context.Background(), OpLoRA, l.handle.Free) })
	return l.err
}

// Builds tells how many graphs and stacks of adapters the model has built so far: calls that differ in adapters' weights
// only build none.
func (m *Model) Builds() (graphs, stacks int64, err error) {
	err = m.run(context.Background(), OpCompute, func() (err error) {
		graphs, stacks, err = m.handle.Builds()
		return err
	})
	return graphs, stacks, err
}
