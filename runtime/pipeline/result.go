package pipeline

import (
	"image"
	"slices"
	"sync"

	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Image is one finished picture; it is an image.Image. It belongs to the caller.
type Image struct {
	*image.NRGBA
	Index   int            // 0 .. NumImages-1 of its request
	Seed    int64          // that makes it alone, with NumImages 1
	Latents backend.Tensor // [1, 4, height/8, width/8], as the scheduler left them

	strategy MemoryStrategy    // that it was made with
	found    []prepare.Found   // parts that detectors found
	prep     *prepare.Prepared // whose texts are this picture's own; nil: they are the request's
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

	model  *Pipeline // for the model's hash
	nets   []*Source // of the request's ControlNets; nil where one was not fetched by name
	files  []manifestFile
	inputs func() []manifestInput // of the request; computed once
	saying *sync.Mutex            // held while Warnings grow, as other batches of the request make them; nil: they do not
}

// warnings is a copy of what was said so far.
func (r *Result) warnings() []string {
	if r.saying != nil {
		r.saying.Lock()
		defer r.saying.Unlock()
	}
	return slices.Clone(r.Warnings)
}

// LoRAInfo is an adapter of a Result.
type LoRAInfo struct {
	Name              string             `json:"name"`
	File              string             `json:"file"` // without its folder
	Source            *Source            `json:"source,omitempty"`
	Weight            float64            `json:"weight"`
	UNetWeight        float64            `json:"unet_weight"` // effective, with all factors but those of blocks
	TextEncoderWeight float64            `json:"text_encoder_weight"`
	BlockWeights      map[string]float64 `json:"block_weights,omitempty"`
	Start             float64            `json:"start,omitempty"`
	End               float64            `json:"end"`
	SHA256            string             `json:"sha256,omitempty"` // once HashFiles was called
	AutoV3            string             `json:"autov3,omitempty"`

	file loraFile
}

// manifestFile names a file of weights that a request was computed with, besides those of the model and its adapters: a ControlNet, an
// IP-Adapter, an image encoder, an embedding, the refiner, the upscaler, TAESD.
type manifestFile struct {
	Key    string `json:"key"`  // of the request, such as controlnet[0].model; embedding, if a prompt names it
	Name   string `json:"name"` // without its folder
	SHA256 string `json:"sha256,omitempty"`

	file loraFile
}

// manifestInput names a picture or an array that a request was given.
type manifestInput struct {
	Key  string `json:"key"`            // such as init_image
	Name string `json:"name,omitempty"` // of its file, without the folder
	Sum  string `json:"sum"`            // of what was read: picture.Sum or npy.Array.Sum
}

// MemoryStrategy is a way to fit into memory: how weights are held, and what is done to make buffers smaller.
type MemoryStrategy = memory.Strategy

// MemoryDecision is how a call was made to fit into memory.
type MemoryDecision struct {
	Strategy MemoryStrategy `json:"strategy"`
	Batch    int            `json:"batch"`
	// Peaks is the most that the call was to take on each device.
	Peaks  map[string]int64 `json:"peaks,omitempty"`
	Reason string           `json:"reason"` // in a sentence, with what was free
}
