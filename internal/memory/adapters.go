package memory

import "github.com/daguerre-go/daguerre/runtime/backend"

// Adapters is what a job's adapters take.
type Adapters struct {
	Kept    int64  // bytes in host memory, as they were read
	Applied int64  // bytes on the UNet's device, all together
	Changes int    // modules that are changed
	LoRAs   *LoRAs // what they change; nil: nothing
	Timed   bool   // some act in a part of the steps
	Always  *LoRAs // what the others change
}

// LoRAs is what adapters change together. Of one set of adapters there is one value.
type LoRAs struct{ Shapes []backend.LoRAShape }

// sets are the adapters that act together: all, and those that act in all steps. A graph with adapters may need less than one without.
func (a Adapters) sets() []*LoRAs {
	if a.Timed {
		return []*LoRAs{a.LoRAs, a.Always}
	}
	return []*LoRAs{a.LoRAs}
}

// shapes are those of the adapters; none if there are none.
func (l *LoRAs) shapes() []backend.LoRAShape {
	if l == nil {
		return nil
	}
	return l.Shapes
}
