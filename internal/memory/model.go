package memory

import (
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// The owners of parts beside ControlNets, which are owned by their own names.
const (
	OwnerModel    = "" // the model itself
	OwnerRefiner  = "refiner"
	OwnerTAESD    = "taesd"
	OwnerUpscaler = "upscaler" // open from the first job that uses it
)

// Device is a place with memory, as a plain value.
type Device struct {
	ID         string             `json:"id"`
	Kind       backend.DeviceKind `json:"kind"`
	TotalBytes int64              `json:"total_bytes"`
	FreeBytes  int64              `json:"free_bytes"`
}

// HostID names the host's memory among devices: that of the CPU.
const HostID = "cpu"

// Part is the weights of one component on its device.
type Part struct {
	Owner     string       `json:"owner,omitempty"`
	Component string       `json:"component"`
	Device    string       `json:"device"`
	Type      backend.Type `json:"type"`
	Weights   int          `json:"-"`       // how many
	Bytes     int64        `json:"bytes"`   // all of them, on the device
	Largest   int64        `json:"largest"` // one of them
	Mapped    int64        `json:"mapped"`  // of Bytes, what a mapped file serves instead
	Scratch   []int64      `json:"-"`       // while they are loaded, thread by thread; see WeightBytes
	FileBytes int64        `json:"file_bytes"`
	Streamed  int64        `json:"streamed,omitempty"`  // of Bytes, what can pass through a window
	Table     int64        `json:"table,omitempty"`     // of Bytes, tables that the mapped file serves where the rest is streamed
	Quantizes bool         `json:"quantizes,omitempty"` // when it is loaded: it cannot be streamed
	Open      bool         `json:"open,omitempty"`      // already: a ControlNet or an upscaler that an earlier job has used
	OnDemand  bool         `json:"on_demand,omitempty"` // of a refiner: opened when its turn comes, whatever the strategy
}

// Model is everything that a plan decides about: what there is to hold, and where.
type Model struct {
	Parts   []Part
	Threads int // that load weights
	// Process is what the process holds before anything is loaded, on the host.
	Process int64
	// Shapes are the sizes that work buffers depend on, by owner.
	Shapes map[string]Shape
}

// Shape is what work buffers depend on besides the size of a picture.
type Shape struct {
	Channels     []int // of the UNet, by level
	Resnets      []int // on the way down, by level
	Depth        []int // of its attention, by level
	Downscale    int   // pixels per latent cell and side
	ContextDim   int
	Latents      int // channels of latents
	Scale        int // of an upscaler
	ActivationOf backend.Type
	T2IAdapter   bool // its picture becomes features; it is not computed in the steps
	XS           bool // a ControlNet-XS, which is computed inside the UNet
}

// part returns a component of an owner.
func (m Model) part(owner, component string) (Part, bool) {
	for _, p := range m.Parts {
		if p.Owner == owner && p.Component == component {
			return p, true
		}
	}
	return Part{}, false
}

// loading is what threads hold while they load a part.
func (m Model) loading(p Part) (n int64) {
	for i, scratch := range p.Scratch {
		if i < max(m.Threads, 1) {
			n += scratch
		}
	}
	return n
}

// has reports whether an owner has parts.
func (m Model) has(owner string) bool {
	for _, p := range m.Parts {
		if p.Owner == owner {
			return true
		}
	}
	return false
}

// Job is one job's demands, in plain values.
type Job struct {
	Width, Height int                // pixels
	Images        int                // in all
	Shared        int                // pictures of the run's other jobs that can be in its batches
	Earlier       int                // pictures that the run has finished before
	Jobs          int                // that are ready beside it
	Batch         int                // most in one batch; 0: all
	Guidance      bool               // the UNet sees two rows for each picture
	Guided        Guided             // with guidance: in which steps
	RefinerGuided Guided             // the same of the refiner
	Parts         int                // with guidance, of the prompt: a row for each, 1 or 0 for one
	Beside        int                // texts in parts of the picture, which a positive row has beside its own
	Change        backend.UNetChange // inside the base's UNet; of perturbed rows, how many a picture has
	Texts         int                // different texts that editing has encoded, 1 or 0 for one
	Alike         int                // parts of the prompt that are equal to another one, or to the negative prompt
	AlikeParts    int                // the same without the negative prompt
	GuidanceBatch string             // GuidanceSeparate and GuidanceJoint force; anything else leaves it to the plan
	Chunks        int                // of 77 tokens, of each text; 0: 1
	Prompts       int                // how many of the pictures' prompts (with their negative ones) differ; 0: all
	Encode        bool               // a picture goes in
	Enlarge       bool               // a second pass begins with pictures, not latents; Width and Height are its size
	Second        bool               // the base denoises once more after the refiner and the enlarging
	Tile          [2]int             // height and width that UNet and ControlNets see at most; 0: the whole
	Upscale       [2]int             // height and width of a first pass that goes through the upscaler; 0: none does
	Refine        bool               // the refiner takes part
	Controls      []string           // ControlNets, ControlNet-XS and T2I-Adapters
	Joined        map[string]int     // how many pictures a Union net sees at once
	OneSided      bool               // a T2I-Adapter acts on the positive half only
	Shown         []Shown            // IP-Adapters with their pictures
	Detectors     []Detecting        // that look at finished pictures
	Adapters      Adapters
	Previews      bool         // through the TAESD
	FastDecode    bool         // the TAESD decodes the pictures
	Together      bool         // a batch goes through the VAE at once, not picture by picture
	Keep          backend.Keep // what UNets keep from step to step; "": nothing
	Branch        int          // with Keep
}

// Detecting is a detector of a job.
type Detecting struct {
	Path          string // its file
	Height, Width int    // of what it sees
}

// Guided says in which steps guidance acts. The zero value is in all.
type Guided struct{ Pauses, Never bool }

// Shown is an IP-Adapter of a job, with the pictures that it is shown.
type Shown struct {
	Adapter, Encoder string // files; no Encoder: embeddings are given
	Pictures         int
	EmbedTokens      int // of a picture, as the adapter takes it
	Prompts, Tokens  int // in the UNet's attentions: how many there are, and the tokens of each
	Values           int // keys and values of a token
	Masks            bool
}

// NetFile is a file that a job opens, and the component that it holds.
type NetFile struct{ Component, Path string }

// Nets lists the files that a job opens.
func (j Job) Nets() (out []NetFile) {
	for _, path := range j.Controls {
		out = append(out, NetFile{ControlNet, path})
	}
	for _, s := range j.Shown {
		if s.Encoder != "" {
			out = append(out, NetFile{ImageEncoder, s.Encoder})
		}
		out = append(out, NetFile{IPAdapter, s.Adapter})
	}
	for _, d := range j.Detectors {
		out = append(out, NetFile{Detector, d.Path})
	}
	return out
}

// HasNet reports whether a job opens a file.
func (j Job) HasNet(path string) bool {
	return slices.ContainsFunc(j.Nets(), func(n NetFile) bool { return n.Path == path })
}

// The values of Job.GuidanceBatch that force.
const (
	GuidanceJoint    = "joint"
	GuidanceSeparate = "separate"
)

// Batches splits n pictures into groups of at most most, as even as they can be. The first is the largest.
func Batches(n, most int) []int {
	groups := (n + most - 1) / most
	sizes := make([]int, groups)
	for i := range sizes {
		sizes[i] = n / groups
		if i < n%groups {
			sizes[i]++
		}
	}
	return sizes
}

// batch is the size of the job's largest batch.
func (j Job) batch() int {
	n := max(j.Images, 1) + j.Shared
	if j.Batch > 0 {
		n = Batches(n, j.Batch)[0]
	}
	return n
}
