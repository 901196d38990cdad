package backend

// ComponentMemory tells what one component holds, in bytes.
type ComponentMemory struct {
	Name        string `json:"name"`
	Loaded      bool   `json:"loaded"`  // its weights, or their window, are in memory
	Weights     int64  `json:"weights"` // on its device
	WeightsPeak int64  `json:"weights_peak"`
	Host        int64  `json:"host"` // what is kept in host memory to be streamed to a device
	HostPeak    int64  `json:"host_peak"`
	Mapped      int64  `json:"mapped"` // used where a mapped file has them; in no sum
}

// MemoryStats tells what a model holds, in bytes. Each peak is the most since the model was opened, or since ResetMemoryPeaks.
// The work space of single operations is not counted.
type MemoryStats struct {
	Components   []ComponentMemory `json:"components"` // those that were opened
	Compute      int64             `json:"compute"`    // compute buffers
	ComputePeak  int64             `json:"compute_peak"`
	Adapters     int64             `json:"adapters"` // adapters, and what is computed from several of them
	AdaptersPeak int64             `json:"adapters_peak"`
	Total        int64             `json:"total"` // of all the above together
	TotalPeak    int64             `json:"total_peak"`
}

// AllocationFailer is a Backend that can let allocations fail, for tests.
type AllocationFailer interface {
	// FailAllocations lets the next `after` allocations succeed. Each later one fails with the given probability; seed starts
	// the generator for that. A probability of 0 ends it. Allocations are those of weights, compute buffers and adapters of all
	// models of the backend (of backend/native: of the process). The result is how many there were since the last call.
	FailAllocations(seed int64, probability float64, after int64) (allocations int64, err error)
}
