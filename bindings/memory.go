package bindings

import "unsafe"

// memoryFuncs measure and free the compute buffers of a model.
type memoryFuncs struct {
	// DG_API dg_status dg_compute_size(dg_model* model, const dg_compute_query* query, size_t* bytes, char* msg, size_t msg_cap);
	computeSize func(model uintptr, query *ComputeQuery, bytes *uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_compute_lanes(dg_model* model, const dg_compute_query* query, int32_t* lanes, char* msg, size_t msg_cap);
	computeLanes func(model uintptr, query *ComputeQuery, lanes *int32, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_compute_held(const dg_model* model, size_t* bytes, char* msg, size_t msg_cap);
	computeHeld func(model uintptr, bytes *uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_compute_release(dg_model* model, char* msg, size_t msg_cap);
	computeRelease func(model uintptr, msg *byte, msgCap uintptr) int32
}

func (f *memoryFuncs) symbols() []symbol {
	return []symbol{
		{"dg_compute_size", &f.computeSize},
		{"dg_compute_lanes", &f.computeLanes},
		{"dg_compute_held", &f.computeHeld},
		{"dg_compute_release", &f.computeRelease},
	}
}

// ComputeSize returns the exact bytes of the compute buffer that a stage would allocate for the
// query's shapes. It allocates none of them.
func (m *Model) ComputeSize(query *ComputeQuery) (int64, error) {
	var bytes uintptr
	err := m.ask("dg_compute_size", query, func(handle uintptr, q *ComputeQuery, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.computeSize(handle, q, &bytes, msg, msgCap)
	})
	return int64(bytes), err
}

// ComputeLanes returns how many shares of a batch a stage computes side by side, each in a buffer of its own; 1 where it is one graph.
func (m *Model) ComputeLanes(query *ComputeQuery) (int, error) {
	var lanes int32
	err := m.ask("dg_compute_lanes", query, func(handle uintptr, q *ComputeQuery, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.computeLanes(handle, q, &lanes, msg, msgCap)
	})
	return int(lanes), err
}

// ask makes a call about a query, which is copied and given its size.
func (m *Model) ask(op string, query *ComputeQuery, call func(handle uintptr, q *ComputeQuery, msg *byte, msgCap uintptr) int32) error {
	if query == nil {
		return argumentf(op, "the query is nil")
	}
	q := *query
	q.StructSize = unsafe.Sizeof(q)
	return m.call(op, func(handle uintptr, msg *byte, msgCap uintptr) int32 { return call(handle, &q, msg, msgCap) })
}

// ComputeHeld returns the bytes of compute buffer held now. They are kept between calls of equal shape.
func (m *Model) ComputeHeld() (int64, error) {
	var bytes uintptr
	err := m.call("dg_compute_held", func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.computeHeld(handle, &bytes, msg, msgCap)
	})
	return int64(bytes), err
}

// ComputeRelease frees the compute buffers held; the next call allocates again.
func (m *Model) ComputeRelease() error {
	return m.call("dg_compute_release", func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.computeRelease(handle, msg, msgCap)
	})
}
