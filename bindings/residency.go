package bindings

import "unsafe"

// residencyFuncs load, free and count a model's weights.
type residencyFuncs struct {
	// DG_API dg_status dg_model_load(dg_model* model, int32_t components, char* msg, size_t msg_cap);
	modelLoad func(model uintptr, components int32, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_model_unload(dg_model* model, int32_t components, char* msg, size_t msg_cap);
	modelUnload func(model uintptr, components int32, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_model_memory(const dg_model* model, dg_memory_info* out, char* msg, size_t msg_cap);
	modelMemory func(model uintptr, out *MemoryInfo, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_model_memory_reset(dg_model* model, char* msg, size_t msg_cap);
	modelMemoryReset func(model uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_test_fail_allocations(int64_t seed, double probability, int64_t after, int64_t* allocations, char* msg, size_t msg_cap);
	testFailAllocations func(seed int64, probability float64, after int64, allocations *int64, msg *byte, msgCap uintptr) int32
}

func (f *residencyFuncs) symbols() []symbol {
	return []symbol{
		{"dg_model_load", &f.modelLoad},
		{"dg_model_unload", &f.modelUnload},
		{"dg_model_memory", &f.modelMemory},
		{"dg_model_memory_reset", &f.modelMemoryReset},
		{"dg_test_fail_allocations", &f.testFailAllocations},
	}
}

// MemoryInfo mirrors dg_memory_info: bytes held now, and the most of each since the model was opened or ResetPeaks. Arrays are
// by bit position of Component.
type MemoryInfo struct {
	StructSize   uintptr
	Loaded       Component // weights are in memory, or their window is
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

// NewMemoryInfo returns an empty value with its size set.
func NewMemoryInfo() *MemoryInfo { return &MemoryInfo{StructSize: unsafe.Sizeof(MemoryInfo{})} }

// Load loads the weights of components that are not in memory. SetCancel stops it.
func (m *Model) Load(components Component) error {
	return m.call("dg_model_load", func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.modelLoad(handle, int32(components), msg, msgCap)
	})
}

// Unload frees the weights of components and the compute buffers that read them. The next use loads them again.
func (m *Model) Unload(components Component) error {
	return m.call("dg_model_unload", func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.modelUnload(handle, int32(components), msg, msgCap)
	})
}

// Memory tells what the model holds. It does not wait for a running call.
func (m *Model) Memory() (MemoryInfo, error) {
	info := NewMemoryInfo()
	err := m.glance("dg_model_memory", func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.modelMemory(handle, info, msg, msgCap)
	})
	return *info, err
}

// ResetPeaks sets the peaks of Memory to what is held now. It does not wait for a running call.
func (m *Model) ResetPeaks() error {
	return m.glance("dg_model_memory_reset", m.lib.fn.modelMemoryReset)
}

// glance makes a call that the library allows beside another.
func (m *Model) glance(op string, call func(handle uintptr, msg *byte, msgCap uintptr) int32) error {
	m.handle.Lock()
	defer m.handle.Unlock()
	if m.ptr == 0 {
		return ErrClosed
	}
	return check(op, func(msg *byte, msgCap uintptr) int32 { return call(m.ptr, msg, msgCap) })
}

// FailAllocations is for tests: allocations of weights, compute buffers and adapters, of all models of the process, fail with
// [ErrOutOfMemory]. The first `after` succeed, then each fails with the given probability. A probability of 0 ends it. It
// returns the number of allocations since the last call.
func (l *Library) FailAllocations(seed int64, probability float64, after int64) (allocations int64, err error) {
	err = check("dg_test_fail_allocations", func(msg *byte, msgCap uintptr) int32 {
		return l.fn.testFailAllocations(seed, probability, after, &allocations, msg, msgCap)
	})
	return allocations, err
}
