package backend

// Residency says where a component's weights are.
type Residency string

// The residencies, from the fastest to the smallest.
const (
	ResidencyResident Residency = "resident"  // all in memory, loaded at Open; the zero value "" means it too
	ResidencyOnDemand Residency = "on_demand" // all in memory from the first use or Load on, until Unload
	// ResidencyStream has weights pass through a window of StreamBytes in every computation: on the CPU from the file, on
	// other devices from host memory. Results are the same bit for bit. A type that the file would have to be quantized to in every
	// pass is refused.
	ResidencyStream Residency = "stream"
	// ResidencyMmap uses tensors whose type in the file is the wanted one where the mapped file has them; the others are loaded. It
	// is for the CPU; on another device it is ResidencyOnDemand. The files must not change while the model is open.
	ResidencyMmap Residency = "mmap"
)

// Residencies lists every value of Residency.
var Residencies = []Residency{ResidencyResident, ResidencyOnDemand, ResidencyStream, ResidencyMmap}

// ComponentMemory is what one component holds, in bytes.
type ComponentMemory struct {
	Name        string `json:"name"`
	Loaded      bool   `json:"loaded"`  // its weights, or their window, are in memory
	Weights     int64  `json:"weights"` // on its device
	WeightsPeak int64  `json:"weights_peak"`
	Host        int64  `json:"host"` // in host memory: what a device other than the CPU is streamed to from
	HostPeak    int64  `json:"host_peak"`
	Mapped      int64  `json:"mapped"` // used in a mapped file; in no sum
}

// MemoryStats is what a model holds, in bytes, and the most of each since the model was opened or ResetMemoryPeaks. The work
// space of single operations is not in it.
type MemoryStats struct {
	Components   []ComponentMemory `json:"components"` // those that were opened
	Compute      int64             `json:"compute"`    // compute buffers
	ComputePeak  int64             `json:"compute_peak"`
	Adapters     int64             `json:"adapters"` // adapters, and stacks of them
	AdaptersPeak int64             `json:"adapters_peak"`
	Total        int64             `json:"total"` // of all the above together
	TotalPeak    int64             `json:"total_peak"`
}

// AllocationFailer is a Backend that lets allocations fail, for tests.
type AllocationFailer interface {
	// FailAllocations lets the next `after` allocations of weights, compute buffers and adapters succeed, and each one after
	// these fail with the given probability, by a generator that seed starts; a probability of 0 ends it. It is for all models of the
	// backend (of backend/native: of the process). It returns the number of allocations since the last call.
	FailAllocations(seed int64, probability float64, after int64) (allocations int64, err error)
}
