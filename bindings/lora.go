package bindings

import (
	"runtime"
	"unsafe"
)

// loraFuncs load, apply and merge adapters.
type loraFuncs struct {
	// DG_API dg_status dg_model_get_modules(const dg_model* model, dg_module_info* modules, size_t cap, size_t* count, char* msg, size_t msg_cap);
	getModules func(model uintptr, modules *ModuleInfo, capacity uintptr, count *uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_lora_load(dg_model* model, const dg_lora_target* targets, int64_t count, dg_lora** out, char* msg, size_t msg_cap);
	loraLoad func(model uintptr, targets *loraTarget, count int64, out *uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_lora_bytes(const dg_lora* lora, int64_t* bytes, char* msg, size_t msg_cap);
	loraBytes func(lora uintptr, bytes *int64, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_lora_free(dg_lora** lora, char* msg, size_t msg_cap);
	loraFree func(lora *uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_lora_merge(const dg_lora_target* target, double weight, float* w, int32_t dims, const int64_t* shape, char* msg, size_t msg_cap);
	loraMerge func(target *loraTarget, weight float64, w *float32, dims int32, shape *int64, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_model_builds(const dg_model* model, int64_t* graphs, int64_t* stacks, char* msg, size_t msg_cap);
	modelBuilds func(model uintptr, graphs, stacks *int64, msg *byte, msgCap uintptr) int32
}

func (f *loraFuncs) symbols() []symbol {
	return []symbol{
		{"dg_model_get_modules", &f.getModules},
		{"dg_lora_load", &f.loraLoad},
		{"dg_lora_bytes", &f.loraBytes},
		{"dg_lora_free", &f.loraFree},
		{"dg_lora_merge", &f.loraMerge},
		{"dg_model_builds", &f.modelBuilds},
	}
}

// ModuleInfo mirrors dg_module_info: a part of a model that adapters can change.
type ModuleInfo struct {
	StructSize uintptr
	Name       Desc
	Kind       ModuleKind
	Type       Type
	In         int64
	Out        int64
	Kernel     int64
}

// loraTensor mirrors dg_lora_tensor.
type loraTensor struct {
	StructSize uintptr
	Data       *byte
	Type       Type
	Dims       int32
	Shape      [4]int64
}

// loraTarget mirrors dg_lora_target.
type loraTarget struct {
	StructSize    uintptr
	Module        *byte
	Form          LoRAForm
	MagnitudeAxis int32
	Scale         float64
	A             loraTensor
	B             loraTensor
	Magnitude     loraTensor
}

// loraUse mirrors dg_lora_use.
type loraUse struct {
	StructSize  uintptr
	LoRA        uintptr
	Weights     *float32
	WeightCount int64
}

// LoRATensor is a tensor as a file stores it: slowest dimension first, little endian. A nil Data is none.
type LoRATensor struct {
	Data  []byte
	Type  Type // TypeF32, TypeF16 or TypeBF16
	Shape []int64
}

// LoRATarget is one change of one module; see dg_lora_target.
type LoRATarget struct {
	Module        string
	Form          LoRAForm
	A, B          LoRATensor
	Scale         float64
	Magnitude     LoRATensor
	MagnitudeAxis int32
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
func (m *Model) Modules() ([]ModuleInfo, error) {
	const op = "dg_model_get_modules"
	var modules []ModuleInfo
	for {
		var count uintptr
		err := m.call(op, func(handle uintptr, msg *byte, msgCap uintptr) int32 {
			return m.lib.fn.getModules(handle, unsafe.SliceData(modules), uintptr(len(modules)), &count, msg, msgCap)
		})
		if err != nil || int(count) <= len(modules) {
			return modules[:min(int(count), len(modules))], err
		}
		modules = make([]ModuleInfo, count)
		for i := range modules {
			modules[i].StructSize = unsafe.Sizeof(modules[i])
		}
	}
}

// LoadLoRA copies and checks an adapter's targets. The caller frees it before the model is closed.
func (m *Model) LoadLoRA(targets []LoRATarget) (*LoRA, error) {
	const op = "dg_lora_load"
	if len(targets) == 0 {
		return nil, argumentf(op, "there are no targets")
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	native := make([]loraTarget, len(targets))
	for i, t := range targets {
		var err error
		if native[i], err = nativeTarget(op, &pins, t); err != nil {
			return nil, err
		}
	}
	lora := &LoRA{model: m, targets: len(targets)}
	err := m.call(op, func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.loraLoad(handle, pinned(&pins, native), int64(len(native)), &lora.handle, msg, msgCap)
	})
	if err != nil {
		return nil, err
	}
	m.lib.live.Add(1)
	return lora, nil
}

// nativeTarget pins what a target points to. Lengths are checked before C sees the slices.
func nativeTarget(op string, pins *runtime.Pinner, t LoRATarget) (loraTarget, error) {
	name := append([]byte(t.Module), 0)
	out := loraTarget{Module: pinned(pins, name), Form: t.Form, MagnitudeAxis: t.MagnitudeAxis, Scale: t.Scale}
	out.StructSize = unsafe.Sizeof(out)
	for _, x := range []struct {
		what string
		from LoRATensor
		to   *loraTensor
	}{{"a", t.A, &out.A}, {"b", t.B, &out.B}, {"magnitude", t.Magnitude, &out.Magnitude}} {
		x.to.StructSize = unsafe.Sizeof(*x.to)
		if x.from.Data == nil {
			continue
		}
		size, ok := map[Type]int64{TypeF32: 4, TypeF16: 2, TypeBF16: 2}[x.from.Type]
		if !ok || len(x.from.Shape) < 1 || len(x.from.Shape) > len(x.to.Shape) {
			return out, argumentf(op, "%s: %s has %d dimensions of type %d; one to four of F32, F16 or BF16 are wanted", t.Module, x.what, len(x.from.Shape), x.from.Type)
		}
		for i, n := range x.from.Shape {
			if n < 1 || size > int64(len(x.from.Data))/n {
				return out, argumentf(op, "%s: %s has shape %v and %d bytes", t.Module, x.what, x.from.Shape, len(x.from.Data))
			}
			size *= n
			x.to.Shape[i] = n
		}
		if size != int64(len(x.from.Data)) {
			return out, argumentf(op, "%s: %s has shape %v and %d bytes, not %d", t.Module, x.what, x.from.Shape, len(x.from.Data), size)
		}
		x.to.Data, x.to.Type, x.to.Dims = pinned(pins, x.from.Data), x.from.Type, int32(len(x.from.Shape))
	}
	return out, nil
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

// nativeUses pins the adapters of a call.
func (m *Model) nativeUses(op string, pins *runtime.Pinner, uses []LoRAUse) (*loraUse, int64, error) {
	if len(uses) == 0 {
		return nil, 0, nil
	}
	out := make([]loraUse, len(uses))
	for i, u := range uses {
		switch {
		case u.LoRA == nil || u.LoRA.handle == 0:
			return nil, 0, argumentf(op, "adapter %d is closed", i)
		case u.LoRA.model != m:
			return nil, 0, argumentf(op, "adapter %d belongs to another model", i)
		case len(u.Weights) != u.LoRA.targets:
			return nil, 0, argumentf(op, "adapter %d has %d targets, not %d", i, u.LoRA.targets, len(u.Weights))
		}
		out[i] = loraUse{LoRA: u.LoRA.handle, Weights: pinned(pins, u.Weights), WeightCount: int64(len(u.Weights))}
		out[i].StructSize = unsafe.Sizeof(out[i])
	}
	return pinned(pins, out), int64(len(out)), nil
}

// MergeLoRA adds weight times a target's change to w, of the given shape in PyTorch's order. It needs no model and is safe
// for concurrent use.
func (l *Library) MergeLoRA(target LoRATarget, weight float64, w []float32, shape []int64) error {
	const op = "dg_lora_merge"
	if err := checkLengths(op, []length{{"w", len(w), shape}}); err != nil {
		return err
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	native, err := nativeTarget(op, &pins, target)
	if err != nil {
		return err
	}
	return check(op, func(msg *byte, msgCap uintptr) int32 {
		return l.fn.loraMerge(&native, weight, unsafe.SliceData(w), int32(len(shape)), unsafe.SliceData(shape), msg, msgCap)
	})
}

// Builds tells how many graphs and stacks of adapters the model has built so far.
func (m *Model) Builds() (graphs, stacks int64, err error) {
	err = m.call("dg_model_builds", func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.modelBuilds(handle, &graphs, &stacks, msg, msgCap)
	})
	return graphs, stacks, err
}
