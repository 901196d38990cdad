package bindings

import (
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// modelFuncs open, describe, cancel and close models. A dg_model* is a uintptr on this side: it is C
// memory that Go neither moves nor looks at.
type modelFuncs struct {
	// DG_API dg_status dg_model_open(const dg_model_params* params, dg_model** out, char* msg, size_t msg_cap);
	modelOpen func(params *modelParams, out *uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_model_close(dg_model** model, char* msg, size_t msg_cap);
	modelClose func(model *uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_get_model_info(const dg_model* model, dg_model_info* out, char* msg, size_t msg_cap);
	getModelInfo func(model uintptr, out *ModelInfo, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_model_set_cancel(dg_model* model, int32_t cancelled, char* msg, size_t msg_cap);
	modelSetCancel func(model uintptr, cancelled int32, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_model_set_wrap(dg_model* model, int32_t axes, char* msg, size_t msg_cap);
	modelSetWrap func(model uintptr, axes int32, msg *byte, msgCap uintptr) int32
}

func (f *modelFuncs) symbols() []symbol {
	return []symbol{
		{"dg_model_open", &f.modelOpen},
		{"dg_model_close", &f.modelClose},
		{"dg_get_model_info", &f.getModelInfo},
		{"dg_model_set_cancel", &f.modelSetCancel},
		{"dg_model_set_wrap", &f.modelSetWrap},
	}
}

// Weight is one weight of a model and where a file holds it; see dg_weight. Shapes have up to four dimensions, slowest first.
type Weight struct {
	Name    string // canonical
	Stored  string // its name in the file; "": Name
	File    int    // index into ModelParams.Files
	Type    StoredType
	Offset  int64
	Bytes   int64
	Shape   []int64
	Strides []int64 // in elements; nil: in the order of Shape
}

// ModelParams says what to open and how; see dg_model_params.
type ModelParams struct {
	Files          []string     // at least one
	Weights        []Weight     // of every component that there is
	Config         *ModelConfig // nil: SDXL's own values
	Device         string       // "" or "auto": the best
	DeviceText     string       // "": as Device
	DeviceVAE      string       // "": as Device
	Components     Component    // what to load; 0: all that are there
	TypeUNet       Type
	TypeText       Type
	TypeVAE        Type
	Precision      Precision
	Threads        int32 // 0: all physical cores this process may use
	FlashAttention Flash
	Cancel         *int32 // may be nil; non-zero, set with sync/atomic from any goroutine, stops loading
	ResidencyText  Residency
	ResidencyUNet  Residency // also of a ControlNet or upscaler
	ResidencyVAE   Residency
	StreamBytes    int64 // window of each streamed component; 0: 512 MiB
	AttentionBytes int64 // scores that attention computes at once, where it keeps them in memory; 0: all
}

// Model is an open model. Calls run one at a time, in no particular order when several goroutines
// make them; SetCancel does not wait for them.
type Model struct {
	lib  *Library
	info ModelInfo

	use    sync.Mutex // held for the length of a call
	handle sync.Mutex // held while ptr is read for SetCancel or written; taken after use
	ptr    uintptr    // dg_model*; 0 once closed
}

// OpenModel opens, checks and loads a model, which the caller closes. The error of a file names it
// and the tensor; loading that params.Cancel stopped is [ErrCancelled].
func (l *Library) OpenModel(params ModelParams) (*Model, error) {
	const op = "dg_model_open"
	var pins runtime.Pinner
	defer pins.Unpin()
	c, err := params.mirror(op, &pins)
	if err != nil {
		return nil, err
	}
	var ptr uintptr
	err = check(op, func(msg *byte, msgCap uintptr) int32 {
		return l.fn.modelOpen(c, &ptr, msg, msgCap)
	})
	if err != nil {
		return nil, err
	}
	if ptr == 0 {
		return nil, &Error{Code: CodeEngine, Op: op, Message: "the library reported success without a model"}
	}
	l.live.Add(1)
	m := &Model{lib: l, ptr: ptr}
	info := NewModelInfo()
	err = m.call("dg_get_model_info", func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return l.fn.getModelInfo(handle, info, msg, msgCap)
	})
	if err != nil {
		_ = m.Close()
		return nil, err
	}
	m.info = *info
	return m, nil
}

// mirror builds the C struct. Everything it points to is pinned until pins are released.
func (p *ModelParams) mirror(op string, pins *runtime.Pinner) (*modelParams, error) {
	if len(p.Files) == 0 || len(p.Files) > MaxFiles {
		return nil, argumentf(op, "%d files were given; a model has 1 to %d", len(p.Files), MaxFiles)
	}
	c := &modelParams{
		FileCount: int64(len(p.Files)), Components: p.Components,
		TypeUNet: p.TypeUNet, TypeText: p.TypeText, TypeVAE: p.TypeVAE,
		Precision: p.Precision, Threads: p.Threads, FlashAttention: p.FlashAttention,
		ResidencyText: p.ResidencyText, ResidencyUNet: p.ResidencyUNet, ResidencyVAE: p.ResidencyVAE,
		StreamBytes: p.StreamBytes, AttentionBytes: p.AttentionBytes,
	}
	c.StructSize = unsafe.Sizeof(*c)
	files := make([]modelFile, len(p.Files))
	for i, f := range p.Files {
		if f == "" {
			return nil, argumentf(op, "the path of file %d is empty", i)
		}
		files[i].StructSize = unsafe.Sizeof(modelFile{})
		if err := cString(op, "path", f, &files[i].Path, pins); err != nil {
			return nil, err
		}
	}
	c.Files = pinned(pins, files)
	weights, err := mirrorWeights(op, p.Weights, pins)
	if err != nil {
		return nil, err
	}
	c.Weights, c.WeightCount = pinned(pins, weights), int64(len(weights))
	if p.Config != nil {
		config := *p.Config
		config.StructSize = unsafe.Sizeof(config)
		c.Config = &config
		pins.Pin(c.Config)
	}
	for _, s := range []struct {
		field, value string
		to           **byte
	}{{"device", p.Device, &c.Device}, {"device_text", p.DeviceText, &c.DeviceText}, {"device_vae", p.DeviceVAE, &c.DeviceVAE}} {
		if err := cString(op, s.field, s.value, s.to, pins); err != nil {
			return nil, err
		}
	}
	if p.Cancel != nil {
		c.Cancel = p.Cancel
		pins.Pin(c.Cancel)
	}
	return c, nil
}

// mirrorWeights builds the C structs of weights. All their texts lie in one piece of memory, which is pinned once.
func mirrorWeights(op string, list []Weight, pins *runtime.Pinner) ([]weight, error) {
	var texts []byte
	for _, w := range list {
		if strings.IndexByte(w.Name+w.Stored, 0) >= 0 {
			return nil, argumentf(op, "the name %q of a weight contains a NUL byte", w.Name+w.Stored)
		}
		texts = append(append(append(append(texts, w.Name...), 0), w.Stored...), 0)
	}
	pinned(pins, texts)
	out, at := make([]weight, len(list)), 0
	text := func(s string) (p *byte) {
		if s != "" {
			p = &texts[at]
		}
		at += len(s) + 1
		return p
	}
	for i, w := range list {
		c := &out[i]
		*c = weight{StructSize: unsafe.Sizeof(*c), Name: text(w.Name), Stored: text(w.Stored), File: int32(w.File), Type: w.Type,
			Dims: int32(len(w.Shape)), Offset: w.Offset, Bytes: w.Bytes}
		if len(w.Shape) > len(c.Shape) || w.Strides != nil && len(w.Strides) != len(w.Shape) {
			return nil, argumentf(op, "the weight %q has a shape of %v and strides of %v", w.Name, w.Shape, w.Strides)
		}
		copy(c.Shape[:], w.Shape)
		if w.Strides != nil {
			c.Strided = 1
			copy(c.Strides[:], w.Strides)
		}
	}
	return out, nil
}

// Info describes the model as it was opened. The value is the caller's; it is valid after Close.
func (m *Model) Info() ModelInfo { return m.info }

// Close frees the model after the call that is running, if any. Closing again does nothing.
func (m *Model) Close() error {
	m.use.Lock()
	defer m.use.Unlock()
	m.handle.Lock()
	defer m.handle.Unlock()
	if m.ptr == 0 {
		return nil
	}
	ptr := m.ptr
	err := check("dg_model_close", func(msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.modelClose(&ptr, msg, msgCap)
	})
	if ptr == 0 {
		m.ptr = 0
		m.lib.live.Add(-1)
	}
	return err
}

// SetCancel sets or clears the model's cancel flag. While it is set, a running call stops as soon as
// the current operation allows and returns [ErrCancelled], as does every later call. It may be called
// at any moment from any goroutine and does not wait for a running call.
func (m *Model) SetCancel(cancelled bool) error {
	var flag int32
	if cancelled {
		flag = 1
	}
	m.handle.Lock()
	defer m.handle.Unlock()
	if m.ptr == 0 {
		return ErrClosed
	}
	return check("dg_model_set_cancel", func(msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.modelSetCancel(m.ptr, flag, msg, msgCap)
	})
}

// SetWrap chooses the axes along which convolutions wrap around, from the next call on. Changing them frees the compute buffers.
func (m *Model) SetWrap(axes Wrap) error {
	return m.call("dg_model_set_wrap", func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.modelSetWrap(handle, int32(axes), msg, msgCap)
	})
}

// call makes one call on the handle, alone. m stays reachable to its end, whatever cleanups exist.
func (m *Model) call(op string, call func(handle uintptr, msg *byte, msgCap uintptr) int32) error {
	m.use.Lock()
	defer m.use.Unlock()
	if m.ptr == 0 {
		return ErrClosed
	}
	err := check(op, func(msg *byte, msgCap uintptr) int32 { return call(m.ptr, msg, msgCap) })
	runtime.KeepAlive(m)
	return err
}

// pinned pins what a slice points to and returns its address; nil for an empty slice.
func pinned[T any](pins *runtime.Pinner, s []T) *T {
	if len(s) == 0 {
		return nil
	}
	p := unsafe.SliceData(s)
	pins.Pin(p)
	return p
}

// cString stores a pinned NUL-terminated copy of s in to, or leaves it nil for "".
func cString(op, field, s string, to **byte, pins *runtime.Pinner) error {
	if s == "" {
		return nil
	}
	if strings.IndexByte(s, 0) >= 0 {
		return argumentf(op, "%s %q contains a NUL byte", field, s)
	}
	*to = pinned(pins, append([]byte(s), 0))
	return nil
}
