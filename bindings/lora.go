package bindings

import (
	"runtime"
	"slices"
	"unsafe"
)

// moduleInfo mirrors dg_module_info: a part of a model that adapters can change.
type moduleInfo struct {
	StructSize uintptr
	Name       Desc
	Kind       int32
	Type       int32
	In         int64
	Out        int64
	Kernel     int64
	Bias       int32
	Reserved   int32
}

// LoRATensor mirrors dg_lora_tensor; the zero value is none. [NewLoRATensor] makes one.
type LoRATensor struct {
	StructSize uintptr
	Data       *byte
	Type       int32
	Dims       int32
	Shape      [4]int64
}

// NewLoRATensor describes a tensor as a file stores it: slowest dimension first, little endian, of type f32, f16 or bf16. The name is
// for errors.
func NewLoRATensor(name, typ string, shape []int, data []byte) (out LoRATensor, err error) {
	const op = "dg_lora_load"
	size, ok := map[string]int{"f32": 4, "f16": 2, "bf16": 2}[typ]
	if !ok || len(shape) < 1 || len(shape) > len(out.Shape) {
		return out, argumentf(op, "%s has %d dimensions of type %s; one to four of f32, f16 or bf16 are wanted", name, len(shape), typ)
	}
	for i, n := range shape {
		if n < 1 || size > len(data)/n {
			return out, argumentf(op, "%s has shape %v and %d bytes", name, shape, len(data))
		}
		size *= n
		out.Shape[i] = int64(n)
	}
	if size != len(data) {
		return out, argumentf(op, "%s has shape %v and %d bytes, not %d", name, shape, len(data), size)
	}
	out.Data, out.Type, out.Dims = Pointer(data), int32(slices.Index(Types, typ)), int32(len(shape))
	return out, nil
}

// LoRATarget mirrors dg_lora_target: one change of one module.
type LoRATarget struct {
	StructSize    uintptr
	Module        *byte // its name, of [Text]
	Form          int32
	MagnitudeAxis int32
	Scale         float64
	A             LoRATensor
	B             LoRATensor
	Magnitude     LoRATensor
}

// Text returns a NUL-terminated copy of a text.
func Text(s string) *byte { return unsafe.SliceData(append([]byte(s), 0)) }

// loraUse mirrors dg_lora_use.
type loraUse struct {
	StructSize  uintptr
	LoRA        uintptr
	Weights     *float32
	WeightCount int64
}

// LoRA is an adapter that belongs to a model. Its methods must not run beside the model's.
type LoRA struct {
	model   *Model
	handle  uintptr
	targets int
}

// LoRAUse applies an adapter in one call, with one weight for each of its targets.
type LoRAUse struct {
	LoRA    *LoRA
	Weights []float32
}

// Modules lists what adapters can change in the components that are loaded.
func (m *Model) Modules() ([]moduleInfo, error) {
	return fetch(m, "dg_model_get_modules", m.lib.fn.modelGetModules)
}

// LoadLoRA copies and checks an adapter's targets. The caller frees it before the model is closed.
func (m *Model) LoadLoRA(targets []LoRATarget) (*LoRA, error) {
	const op = "dg_lora_load"
	if len(targets) == 0 {
		return nil, argumentf(op, "there are no targets")
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	for i := range targets {
		ready(&pins, &targets[i])
	}
	lora := &LoRA{model: m, targets: len(targets)}
	err := m.call(op, func(model uintptr, msg *byte, size uintptr) int32 {
		return m.lib.fn.loraLoad(model, &targets[0], int64(len(targets)), &lora.handle, msg, size)
	})
	if err != nil {
		return nil, err
	}
	m.lib.live.Add(1)
	return lora, nil
}

// Bytes is what the adapter holds.
func (l *LoRA) Bytes() (bytes int64, err error) {
	err = l.model.call("dg_lora_bytes", func(_ uintptr, msg *byte, msgCap uintptr) int32 {
		return l.model.lib.fn.loraBytes(l.handle, &bytes, msg, msgCap)
	})
	return bytes, err
}

// Free frees the adapter; it may be called again.
func (l *LoRA) Free() error {
	if l.handle == 0 {
		return nil
	}
	err := l.model.call("dg_lora_free", func(_ uintptr, msg *byte, msgCap uintptr) int32 {
		return l.model.lib.fn.loraFree(&l.handle, msg, msgCap)
	})
	if err == nil {
		l.model.lib.live.Add(-1)
	}
	return err
}

// uses makes the structs for the adapters of a call.
func uses(op string, pins *runtime.Pinner, list []LoRAUse) (*loraUse, int64, error) {
	out := make([]loraUse, len(list))
	for i, u := range list {
		switch {
		case u.LoRA == nil || u.LoRA.handle == 0:
			return nil, 0, argumentf(op, "adapter %d is closed", i)
		case len(u.Weights) != u.LoRA.targets:
			return nil, 0, argumentf(op, "adapter %d has %d targets, not %d", i, u.LoRA.targets, len(u.Weights))
		}
		out[i] = loraUse{LoRA: u.LoRA.handle, Weights: Pointer(u.Weights), WeightCount: int64(len(u.Weights))}
		ready(pins, &out[i])
	}
	return Pointer(out), int64(len(out)), nil
}

// MergeLoRA adds weight times a target's change to w, of the given shape in PyTorch's order. It needs no model and is safe
// for concurrent use.
func (l *Library) MergeLoRA(target LoRATarget, weight float64, w []float32, shape []int) error {
	const op = "dg_lora_merge"
	count, dims := 1, make([]int64, len(shape))
	for i, n := range shape {
		if dims[i] = int64(n); n < 1 || count > len(w)/n {
			return argumentf(op, "w has %d elements for shape %v", len(w), shape)
		}
		count *= n
	}
	if count != len(w) {
		return argumentf(op, "w has %d elements for shape %v, which needs %d", len(w), shape, count)
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	ready(&pins, &target)
	return check(op, func(msg *byte, size uintptr) int32 {
		return l.fn.loraMerge(&target, weight, Pointer(w), int32(len(dims)), Pointer(dims), msg, size)
	})
}

// Builds tells how many graphs and stacks of adapters the model has built so far.
func (m *Model) Builds() (graphs, stacks int64, err error) {
	err = m.call("dg_model_builds", func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.modelBuilds(handle, &graphs, &stacks, msg, msgCap)
	})
	return graphs, stacks, err
}
