package bindings

import (
	"runtime"
	"sync"
)

// Weight is one weight of a model and where a file holds it; see dg_weight. Shapes have up to four dimensions, slowest first.
type Weight struct {
	Name    string // canonical
	Stored  string // its name in the file; "": Name
	File    int    // index into ModelParams.Files
	Type    int32
	Offset  int64
	Bytes   int64
	Shape   []int64
	Strides []int64   // in elements; nil: in the order of Shape
	Scale   []float32 // what FP8 values are multiplied by: one, or one for each of as many equal runs of elements; nil: nothing
}

// File is a file of weights, and what told it from others when its header was read; see dg_model_file. Only Path is needed.
type File struct {
	Path     string
	Size     int64
	Modified int64 // in nanoseconds since 1970, as Changed
	Changed  int64
	Device   int64
	Inode    int64
}

// ModelParams says what to open and how; see dg_model_params.
type ModelParams struct {
	Files          []File       // at least one
	Weights        []Weight     // of every component that there is
	Config         *ModelConfig // nil: SDXL's own values
	Device         string       // "" or "auto": the best
	DeviceText     string       // "": as Device
	DeviceVAE      string       // "": as Device
	Components     int32        // what to load; 0: all that are there
	TypeUNet       int32
	TypeText       int32
	TypeVAE        int32
	Precision      int32
	Threads        int32 // 0: all physical cores this process may use
	FlashAttention int32
	Cancel         *int32 // may be nil; non-zero, set with sync/atomic from any goroutine, stops loading
	ResidencyText  int32
	ResidencyUNet  int32 // also of a ControlNet, upscaler or detector
	ResidencyVAE   int32
	Convolution    int32  // one of Convs
	StreamBytes    int64  // window of each streamed component; 0: 512 MiB
	AttentionBytes int64  // scores that attention computes at once, where it keeps them in memory; 0: all
	CacheFolder    string // of converted weights, which must exist; "": they are not kept
	CacheBuild     string // tells this build of the library from others
	CacheLeast     int64  // bytes that a component must convert to be kept
	CacheMost      int64  // bytes that a new file may have; negative: none is written
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
	m := &Model{lib: l}
	err = check(op, func(msg *byte, size uintptr) int32 { return l.fn.modelOpen(c, &m.ptr, msg, size) })
	if err != nil {
		return nil, err
	}
	if m.ptr == 0 {
		return nil, &Error{Code: ErrEngine, Op: op, Message: "the library reported success without a model"}
	}
	l.live.Add(1)
	ready(nil, &m.info)
	err = m.call("dg_get_model_info", func(model uintptr, msg *byte, size uintptr) int32 {
		return l.fn.getModelInfo(model, &m.info, msg, size)
	})
	if err != nil {
		_ = m.Close()
		return nil, err
	}
	return m, nil
}

// mirror builds the C struct. Everything it points to is pinned until pins are released.
func (p *ModelParams) mirror(op string, pins *runtime.Pinner) (*modelParams, error) {
	if len(p.Files) == 0 || len(p.Files) > maxFiles {
		return nil, argumentf(op, "%d files were given; a model has 1 to %d", len(p.Files), maxFiles)
	}
	files := make([]modelFile, len(p.Files))
	for i, f := range p.Files {
		if f.Path == "" {
			return nil, argumentf(op, "the path of file %d is empty", i)
		}
		files[i] = modelFile{Size: f.Size, Modified: f.Modified, Changed: f.Changed, Device: f.Device, Inode: f.Inode}
		var err error
		if files[i].Path, err = cString(op, "path", f.Path); err != nil {
			return nil, err
		}
		ready(pins, &files[i])
	}
	weights := make([]weight, len(p.Weights))
	for i := range weights {
		var err error
		if weights[i], err = p.Weights[i].mirror(op, pins); err != nil {
			return nil, err
		}
	}
	c := &modelParams{
		Files: Pointer(files), FileCount: int64(len(files)), Weights: Pointer(weights), WeightCount: int64(len(weights)),
		Components: p.Components, TypeUNet: p.TypeUNet, TypeText: p.TypeText, TypeVAE: p.TypeVAE,
		Precision: p.Precision, Threads: p.Threads, FlashAttention: p.FlashAttention, Cancel: p.Cancel,
		ResidencyText: p.ResidencyText, ResidencyUNet: p.ResidencyUNet, ResidencyVAE: p.ResidencyVAE,
		Convolution: p.Convolution, StreamBytes: p.StreamBytes, AttentionBytes: p.AttentionBytes,
		CacheLeast: p.CacheLeast, CacheMost: p.CacheMost,
	}
	if p.Config != nil {
		config := *p.Config
		c.Config = ready(pins, &config)
	}
	for _, s := range []struct {
		field, value string
		to           **byte
	}{{"device", p.Device, &c.Device}, {"device_text", p.DeviceText, &c.DeviceText}, {"device_vae", p.DeviceVAE, &c.DeviceVAE},
		{"cache_folder", p.CacheFolder, &c.CacheFolder}, {"cache_build", p.CacheBuild, &c.CacheBuild}} {
		var err error
		if *s.to, err = cString(op, s.field, s.value); err != nil {
			return nil, err
		}
	}
	return ready(pins, c), nil
}

// mirror builds the C struct, pinned as that of ModelParams.
func (w *Weight) mirror(op string, pins *runtime.Pinner) (c weight, err error) {
	if len(w.Shape) > len(c.Shape) || w.Strides != nil && len(w.Strides) != len(w.Shape) {
		return c, argumentf(op, "the weight %q has a shape of %v and strides of %v", w.Name, w.Shape, w.Strides)
	}
	c = weight{File: int32(w.File), Type: w.Type, Dims: int32(len(w.Shape)), Strided: flag(w.Strides != nil), Offset: w.Offset, Bytes: w.Bytes}
	copy(c.Shape[:], w.Shape)
	copy(c.Strides[:], w.Strides)
	c.Scale, c.ScaleCount = Pointer(w.Scale), int64(len(w.Scale))
	if c.Scale != nil {
		pins.Pin(c.Scale)
	}
	if c.Name, err = cString(op, "the name of a weight", w.Name); err == nil {
		c.Stored, err = cString(op, "the name of a weight", w.Stored)
	}
	return *ready(pins, &c), err
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
	err := check("dg_model_close", func(msg *byte, size uintptr) int32 { return m.lib.fn.modelClose(&m.ptr, msg, size) })
	if m.ptr == 0 {
		m.lib.live.Add(-1)
	}
	return err
}

// SetCancel sets or clears the model's cancel flag. While it is set, a running call stops as soon as
// the current operation allows and returns [ErrCancelled], as does every later call. It may be called
// at any moment from any goroutine and does not wait for a running call.
func (m *Model) SetCancel(cancelled bool) error {
	return m.glance("dg_model_set_cancel", func(model uintptr, msg *byte, size uintptr) int32 {
		return m.lib.fn.modelSetCancel(model, flag(cancelled), msg, size)
	})
}

// SetWrap chooses the axes along which convolutions wrap around, DG_WRAP bits, from the next call on. Changing them frees the
// compute buffers.
func (m *Model) SetWrap(axes int32) error {
	return m.set("dg_model_set_wrap", m.lib.fn.modelSetWrap, axes)
}

// call makes one call on the handle, alone. m stays reachable to its end, whatever cleanups exist.
func (m *Model) call(op string, call func(model uintptr, msg *byte, size uintptr) int32) error {
	m.use.Lock()
	defer m.use.Unlock()
	if m.ptr == 0 {
		return ErrClosed
	}
	err := check(op, func(msg *byte, size uintptr) int32 { return call(m.ptr, msg, size) })
	runtime.KeepAlive(m)
	return err
}

// Lend makes a call of another model that this one takes part in, with its handle. No other call of this one runs meanwhile.
func (m *Model) Lend(call func(handle uintptr) error) error {
	m.use.Lock()
	defer m.use.Unlock()
	if m.ptr == 0 {
		return ErrClosed
	}
	return call(m.ptr)
}

// set makes a call with one number.
func (m *Model) set(op string, fn func(model uintptr, value int32, msg *byte, size uintptr) int32, value int32) error {
	return m.call(op, func(model uintptr, msg *byte, size uintptr) int32 { return fn(model, value, msg, size) })
}

// glance makes a call that the library allows beside another.
func (m *Model) glance(op string, call func(model uintptr, msg *byte, size uintptr) int32) error {
	m.handle.Lock()
	defer m.handle.Unlock()
	if m.ptr == 0 {
		return ErrClosed
	}
	return check(op, func(msg *byte, size uintptr) int32 { return call(m.ptr, msg, size) })
}
