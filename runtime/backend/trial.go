package backend

import (
	"context"
	"time"
)

// TrialKind names the layer that a Trial computes.
type TrialKind string

// The layers.
const (
	TrialConv2D    TrialKind = "conv2d"    // 3 x 3: [Batch, In, Height, Width] to [Batch, Out, Height, Width]
	TrialAttention TrialKind = "attention" // In channels in heads of Out each: Height queries and Width keys to [Batch, Height, In]
	TrialLinear    TrialKind = "linear"    // [Batch, Height, In] to [Batch, Height, Out]
)

// Trial is one layer by itself, with random weights and inputs. They are the same on every device.
type Trial struct {
	Device         string
	Kind           TrialKind
	Convolution    string // "im2col", "direct"
	FlashAttention string // "on", "off"
	Type           Type   // of the weights: TypeF32, TypeF16 or TypeBF16
	Batch          int
	Height, Width  int
	In, Out        int
	Amplitude      float64 // of inputs and weights; 0: 1
	Repeats        int     // runs that are timed, after one that is not
}

// Values is the number of values of the result.
func (t Trial) Values() int {
	switch t.Kind {
	case TrialConv2D:
		return t.Batch * t.Out * t.Height * t.Width
	case TrialLinear:
		return t.Batch * t.Out * t.Height
	}
	return t.Batch * t.In * t.Height
}

// Trier is a Backend that can compute layers by themselves.
type Trier interface {
	// Build names what the backend was built of. Times of another build say nothing of this one.
	Build() string
	// Try computes a layer, and returns the median time of a run. values is nil, or has room for the result. A layer that the device
	// has no kernel for is ErrUnsupported. Cancelling ctx stops it before it begins.
	Try(ctx context.Context, t Trial, values []float32) (time.Duration, error)
}

// NodeGroup is nodes of a graph that are computed in the same way.
type NodeGroup struct {
	Op           string `json:"op"`       // as ggml calls it
	Operands     string `json:"operands"` // "f16 f32 -> f32": types of the sources and of the result; "~" marks one that is not contiguous
	Supported    bool   `json:"supported"`
	Count        int    `json:"count"`
	LargestBytes int64  `json:"largest_bytes"` // of their tensors
	Example      string `json:"example"`
}

// TransferStats is what was copied between host and devices since a model was opened.
type TransferStats struct {
	Runs          int64 `json:"runs"` // of graphs
	Uploads       int64 `json:"uploads"`
	UploadBytes   int64 `json:"upload_bytes"`
	Downloads     int64 `json:"downloads"`
	DownloadBytes int64 `json:"download_bytes"`
	PinnedBytes   int64 `json:"pinned_bytes"` // host memory that the device reads directly
}

// Inspected is a Model that tells how it computes.
type Inspected interface {
	// Nodes lists the nodes of the graph that a stage would run. It computes nothing.
	Nodes(q ComputeQuery) ([]NodeGroup, error)
	// Transfers tells what was copied so far.
	Transfers() (TransferStats, error)
}
