package bindings

import (
	"runtime"
	"unsafe"
)

// ComputeQuery mirrors dg_compute_query: the shapes whose compute buffer is measured.
type ComputeQuery struct {
	StructSize    uintptr
	Stage         int32
	Texts         int32 // UNet and ControlNet: how many of the batch's texts differ; 0: all
	Batch         int64 // chunks for the text stages
	Height        int64 // latent cells (UNet, ControlNet, decode) or pixels (encode, hint, upscaling)
	Width         int64
	ContextTokens int64 // UNet and ControlNet
	Keep          int32 // UNet and features
	Residuals     int32 // UNet: of ControlNets, of [ResidualPlaces]
	Branch        int64 // with Keep
	ImagePrompts  int64 // UNet: how many there are
	ImageTokens   int64 // of each
	ImageMasks    int64 // UNet: 1: they have masks
	Change        *UNetChange
	RegionCount   int64 // UNet and ControlNet: texts of each of the last RegionRows rows beside their own
	RegionRows    int64
	RegionSets    int64      // how many of these rows differ in them; 0: all
	LoRAs         *LoRAShape // the first of LoRACount
	LoRACount     int64
	BlockRows     int64   // UNet: as in UNetInput
	FeaturesUse   int32   // UNet, with Keep
	ImageRows     int32   // UNet: how many different rows each has
	Kinds         int64   // ControlNet: KindCount of ControlInput
	XS            uintptr // UNet: as in UNetInput
}

// LoRAShape mirrors dg_lora_shape: a change that an adapter makes to a module, as far as graphs depend on it.
type LoRAShape struct {
	StructSize uintptr
	Module     *byte
	Form       int32 // of [LoRAForms]
	Factors    int32 // rotations: 1: they have B
	Rank       int64 // of low ranks
	Shape      [4]int64
}

// SetLoRAs makes a query ask about adapters.
func (q *ComputeQuery) SetLoRAs(shapes []LoRAShape) {
	q.LoRAs, q.LoRACount = unsafe.SliceData(shapes), int64(len(shapes))
}

// ready makes a query fit for a call, and pins what it points to.
func (q *ComputeQuery) ready(pins *runtime.Pinner) {
	q.Change.ready(pins)
	shapes := unsafe.Slice(q.LoRAs, q.LoRACount)
	for i := range shapes {
		ready(pins, &shapes[i])
	}
	ready(pins, q)
}

// ComputeSize returns the exact bytes of the compute buffer that a stage would allocate for the
// query's shapes. It allocates none of them.
func (m *Model) ComputeSize(query ComputeQuery) (int64, error) {
	var bytes uintptr
	var pins runtime.Pinner
	defer pins.Unpin()
	query.ready(&pins)
	err := m.call("dg_compute_size", func(model uintptr, msg *byte, size uintptr) int32 {
		return m.lib.fn.computeSize(model, &query, &bytes, msg, size)
	})
	return int64(bytes), err
}

// ComputeLanes returns how many shares of a batch a stage computes side by side, each in a buffer of its own; 1 where it is one graph.
func (m *Model) ComputeLanes(query ComputeQuery) (int, error) {
	var lanes int32
	var pins runtime.Pinner
	defer pins.Unpin()
	query.ready(&pins)
	err := m.call("dg_compute_lanes", func(model uintptr, msg *byte, size uintptr) int32 {
		return m.lib.fn.computeLanes(model, &query, &lanes, msg, size)
	})
	return int(lanes), err
}

// ComputeHeld returns the bytes of compute buffer held now. They are kept between calls of equal shape.
func (m *Model) ComputeHeld() (int64, error) {
	var bytes uintptr
	err := m.call("dg_compute_held", func(model uintptr, msg *byte, size uintptr) int32 {
		return m.lib.fn.computeHeld(model, &bytes, msg, size)
	})
	return int64(bytes), err
}

// ComputeRelease frees the compute buffers held; the next call allocates again.
func (m *Model) ComputeRelease() error { return m.call("dg_compute_release", m.lib.fn.computeRelease) }

// memoryInfo mirrors dg_memory_info: bytes held now, and the most of each since the model was opened or ResetPeaks. Arrays are
// by place in [Components].
type memoryInfo struct {
	StructSize   uintptr
	Loaded       int32 // weights are in memory, or their window is
	Reserved     int32
	Weights      [ComponentCount]int64 // on the component's device: its tensors, or its window
	WeightsPeak  [ComponentCount]int64
	Host         [ComponentCount]int64 // in host memory: what a device other than the CPU is streamed to from
	HostPeak     [ComponentCount]int64
	Mapped       [ComponentCount]int64 // used in a mapped file
	Compute      int64                 // compute buffer
	ComputePeak  int64
	Adapters     int64 // adapters, and stacks of them
	AdaptersPeak int64
	Total        int64 // weights, host, compute and adapters together
	TotalPeak    int64
}

// Load loads the weights of components that are not in memory. SetCancel stops it.
func (m *Model) Load(components int32) error {
	return m.set("dg_model_load", m.lib.fn.modelLoad, components)
}

// Unload frees the weights of components and the compute buffers that read them. The next use loads them again.
func (m *Model) Unload(components int32) error {
	return m.set("dg_model_unload", m.lib.fn.modelUnload, components)
}

// Memory tells what the model holds. It does not wait for a running call.
func (m *Model) Memory() (memoryInfo, error) {
	info := ready(nil, &memoryInfo{})
	err := m.glance("dg_model_memory", func(model uintptr, msg *byte, size uintptr) int32 {
		return m.lib.fn.modelMemory(model, info, msg, size)
	})
	return *info, err
}

// ResetPeaks sets the peaks of Memory to what is held now. It does not wait for a running call.
func (m *Model) ResetPeaks() error {
	return m.glance("dg_model_memory_reset", m.lib.fn.modelMemoryReset)
}

// FailAllocations is for tests: allocations of weights, compute buffers and adapters, of all models of the process, fail with
// [ErrOutOfMemory]. The first `after` succeed, then each fails with the given probability. A probability of 0 ends it. It
// returns the number of allocations since the last call.
func (l *Library) FailAllocations(seed int64, probability float64, after int64) (allocations int64, err error) {
	err = check("dg_test_fail_allocations", func(msg *byte, size uintptr) int32 {
		return l.fn.testFailAllocations(seed, probability, after, &allocations, msg, size)
	})
	return allocations, err
}
