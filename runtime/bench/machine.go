package bench

import (
	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Machine is what the figures depend on.
type Machine struct {
	CPU         string           `json:"cpu"`
	Cores       int              `json:"cores"` // logical
	Features    []string         `json:"features"`
	MemoryBytes int64            `json:"memory_bytes,omitempty"`
	System      string           `json:"system"`                 // and its kernel
	Load        []float64        `json:"load_average,omitempty"` // of the minute before the first session and of that before the last one's end
	Devices     []backend.Device `json:"devices"`
}

// Build is what was measured.
type Build struct {
	Version  string   `json:"version"`            // of daguerre
	Revision string   `json:"revision,omitempty"` // of its source
	Modified bool     `json:"modified,omitempty"` // the source had changes that are not in the revision
	Engine   string   `json:"engine,omitempty"`   // its pin
	Library  string   `json:"library,omitempty"`  // variant and version of libdaguerre
	Compiler string   `json:"compiler,omitempty"`
	Features []string `json:"features"` // compiled in
	Go       string   `json:"go"`
}

// DescribeMachine asks the operating system; what it does not tell is left out. Features and Devices are the caller's to fill in.
func DescribeMachine() Machine {
	d := machine.Describe()
	m := Machine{CPU: d.CPU, Cores: d.Cores, Features: []string{}, MemoryBytes: d.Memory, System: d.System, Devices: []backend.Device{}}
	if load, ok := machine.LoadAverage(); ok {
		m.Load = []float64{load}
	}
	return m
}
