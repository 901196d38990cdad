package pipeline

import (
	"image"

	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Image is one finished picture; it is an image.Image. It belongs to the caller.
type Image struct {
	*image.NRGBA
	Index   int            // 0 .. NumImages-1 of its request
	Seed    int64          // that makes it alone, with NumImages 1
	Latents backend.Tensor // [1, 4, height/8, width/8], as the scheduler left them
}

// SchedulerInfo tells which scheduler ran.
type SchedulerInfo struct {
	Name    string         `json:"name"`    // as diffusers names the class
	Asked   string         `json:"asked"`   // the name in the request
	Options map[string]any `json:"options"` // every option in force, by diffusers' key
	Notes   []string       `json:"notes,omitempty"`
}

// TextStats counts what became of a call's texts.
type TextStats = conditioning.Stats

// Result is what Generate made. After an error it holds the pictures that were finished before it.
type Result struct {
	Images    []Image         // by index; all of them where there was no error
	Request   request.Request // as it ran: every default filled in, the seed chosen
	Scheduler SchedulerInfo
	Model     backend.ModelInfo
	Timings   Timings
	Texts     TextStats  // what became of its texts
	LoRAs     []LoRAInfo // adapters that take part, with their weights at the start
	Memory    MemoryDecision
	Warnings  []string // what was done otherwise than one may expect, in words

	model *Pipeline // for the model's hash
}
