package bindings

import "runtime"

// nodeInfo mirrors dg_node_info: nodes of a graph that are computed in the same way.
type nodeInfo struct {
	StructSize   uintptr
	Op           Name  // as ggml calls it
	Operands     Desc  // types of the sources and of the result
	Supported    int32 // 1: the device has a kernel for them
	Reserved     int32
	Count        int64
	LargestBytes int64 // of their tensors
	Example      Desc
}

// ComputeNodes lists the nodes of the graph that a stage would run, in groups. It computes nothing.
func (m *Model) ComputeNodes(query ComputeQuery) ([]nodeInfo, error) {
	var pins runtime.Pinner
	defer pins.Unpin()
	query.ready(&pins)
	return fetch(m, "dg_compute_nodes", func(model uintptr, nodes *nodeInfo, capacity uintptr, count *uintptr, msg *byte,
		size uintptr) int32 {
		return m.lib.fn.computeNodes(model, &query, nodes, capacity, count, msg, size)
	})
}

// transferInfo mirrors dg_transfer_info: what was copied between host and devices since the model was opened.
type transferInfo struct {
	StructSize    uintptr
	Runs          int64 // of graphs
	Uploads       int64
	UploadBytes   int64
	Downloads     int64
	DownloadBytes int64
	PinnedBytes   int64 // host memory that the device reads directly
}

// Transfers tells what was copied between host and devices.
func (m *Model) Transfers() (transferInfo, error) {
	info := ready(nil, &transferInfo{})
	err := m.call("dg_model_transfers", func(model uintptr, msg *byte, size uintptr) int32 {
		return m.lib.fn.modelTransfers(model, info, msg, size)
	})
	return *info, err
}
