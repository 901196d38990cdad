package memory

import (
	"slices"
)

// Use says what an item of a Breakdown is.
type Use string

// The uses.
const (
	UseProcess  Use = "process"  // what the program holds by itself
	UseWeights  Use = "weights"  // of a component, all of them
	UseWindow   Use = "window"   // through which a component's weights are streamed
	UseCompute  Use = "compute"  // the graph's buffer
	UseWork     Use = "work"     // what operations convert their inputs into, and the graph's description
	UseAdapters Use = "adapters" // LoRA and its kin
	UseHost     Use = "host"     // latents, pixels and copies in Go's memory
	UseScratch  Use = "scratch"  // conversion of weights while they are loaded
	UseIdle     Use = "idle"     // models that stay open between jobs, and that this one does not use
)

// Item is what one thing holds on one device during a stage.
type Item struct {
	Device    string `json:"device"`
	Owner     string `json:"owner,omitempty"`
	Component string `json:"component,omitempty"`
	Use       Use    `json:"use"`
	Bytes     int64  `json:"bytes"`
}

// StageUse is all that is held during one stage.
type StageUse struct {
	Name  string `json:"name"`
	Items []Item `json:"items"`
}

// On sums up what a stage holds on a device.
func (s StageUse) On(device string) (n int64) {
	for _, i := range s.Items {
		if i.Device == device {
			n += i.Bytes
		}
	}
	return n
}

// Breakdown is the memory of a run, stage by stage.
type Breakdown struct {
	Stages []StageUse `json:"stages"`
}

// Peak returns the most that is held on a device at once, and in which stage.
func (b Breakdown) Peak(device string) (bytes int64, stage string) {
	for _, s := range b.Stages {
		if n := s.On(device); n > bytes {
			bytes, stage = n, s.Name
		}
	}
	return bytes, stage
}

// With returns the breakdown with an item in every stage.
func (b Breakdown) With(i Item) Breakdown {
	out := Breakdown{Stages: slices.Clone(b.Stages)}
	for k := range out.Stages {
		s := &out.Stages[k]
		s.Items = append(slices.Clip(s.Items), i)
	}
	return out
}

// Of returns the bytes of one use of a component in a stage; 0 where there is none.
func (b Breakdown) Of(stage, owner, component string, use Use) (n int64) {
	for _, s := range b.Stages {
		for _, i := range s.Items {
			if s.Name == stage && i.Owner == owner && i.Component == component && i.Use == use {
				n += i.Bytes
			}
		}
	}
	return n
}
