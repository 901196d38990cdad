// Package backend is the interface between the pipeline and what computes: devices, models, and the few tensor operations that
// SDXL needs. It decides nothing itself. Two packages implement it: backend/native uses libdaguerre; backend/fake is for tests,
// in pure Go. A third one can be tested with backend/backendtest.
package backend

import "context"

// Tensor is a dense array of float32. Its dimensions are in PyTorch's order, [N, C, H, W] or [N, T, D]: the last index is the
// fastest.
type Tensor struct {
	Shape []int
	Data  []float32
}

// NewTensor returns a tensor of zeros.
func NewTensor(shape ...int) Tensor {
	return Tensor{Shape: append([]int(nil), shape...), Data: make([]float32, Count(shape...))}
}

// Count returns the number of elements of a shape; 1 for an empty one.
func Count(shape ...int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Backend lists devices and opens models. It is safe for concurrent use.
type Backend interface {
	// Devices lists what can compute, with the memory that is free now.
	Devices(ctx context.Context) ([]Device, error)
	// Open reads, checks and loads a model. Cancelling ctx stops it at the next tensor.
	Open(ctx context.Context, cfg ModelConfig) (Model, error)
}

// Model is an open model. Several goroutines may call its methods. Tokenize, Info, MemoryStats and ResetMemoryPeaks return at
// once; the other methods run one at a time. Cancelling ctx stops a computation: on the CPU inside its graph, elsewhere between
// graphs. The error is then ctx.Err(), and the model stays usable. Calls with wrong arguments return ErrArgument, and those
// that the model has no component for ErrUnsupported. Neither changes the model.
type Model interface {
	// Info describes the model. The caller may change the value.
	Info() ModelInfo
	// Tokenize returns CLIP's token ids of text, without start, end and padding.
	Tokenize(text string) ([]int32, error)
	// EncodeText runs one of the text encoders.
	EncodeText(ctx context.Context, in TextInput) (TextOutput, error)
	// UNet evaluates the UNet into out, which has N*OutChannels*h*w elements.
	UNet(ctx context.Context, in UNetInput, out []float32) error
	// EncodeImage maps pixels [N, 3, H, W] in [-1, 1] to moments [N, 2*LatentChannels, H/8, W/8]: first the means, then the
	// logarithms of the variances. It does not apply the scaling factor.
	EncodeImage(ctx context.Context, pixels Tensor) (Tensor, error)
	// DecodeLatents maps latents [N, LatentChannels, h, w] to pixels [N, 3, 8h, 8w]. The caller has divided the latents by the
	// scaling factor. The pixels are in about [-1, 1] and not clamped.
	DecodeLatents(ctx context.Context, latents Tensor) (Tensor, error)
	// EncodeHint maps the picture that controls a ControlNet, pixels [N, 3, H, W] in [0, 1], to [N, ModelChannels, H/8, W/8].
	// Of a T2I-Adapter it makes the features: [N, values], where values are those of ControlInfo.FeatureShapes, and the rows are block
	// by block, as in UNetInput.Blocks.
	// The result is the same in every step.
	EncodeHint(ctx context.Context, pixels Tensor) (Tensor, error)
	// ControlNet evaluates a ControlNet once. It adds the scaled result to in.Rows rows of residuals, from in.FirstRow on, so
	// that several nets add up. With in.OnDevice it adds to those, and residuals is nil.
	ControlNet(ctx context.Context, in ControlInput, residuals []float32) error
	// Upscale enlarges pixels [N, 3, H, W] in [0, 1] to [N, 3, Scale*H, Scale*W], not clamped.
	Upscale(ctx context.Context, pixels Tensor) (Tensor, error)
	// Detect looks for boxes in pixels [N, 3, H, W] in [0, 1]: [N, 4*Bins+Classes, Anchors]. Of each anchor it gives the logits of the
	// distances to the left, top, right and bottom side, in units of the anchor's cell, then of the classes.
	Detect(ctx context.Context, pixels Tensor) (Tensor, error)
	// Load loads components that are not in memory. They are named as in ComponentInfo; without names it loads all that were
	// opened. Nobody needs to call it: a computation loads what it uses. Cancelling ctx stops it at the next tensor.
	Load(ctx context.Context, components ...string) error
	// Unload frees components, without names all of them, and the compute buffers. It does so whatever their residency. A later
	// computation loads them again, and its results are the same bit for bit.
	Unload(components ...string) error
	// MemoryStats tells what the model holds.
	MemoryStats() MemoryStats
	// ResetMemoryPeaks sets the peaks of MemoryStats to what is held now.
	ResetMemoryPeaks()
	// ComputeBytes returns the exact size of the compute buffer that a stage would allocate. It loads no weights.
	ComputeBytes(q ComputeQuery) (int64, error)
	// ReleaseCompute frees the compute buffers, which are otherwise kept between calls.
	ReleaseCompute() error
	// Close frees the model, after a running call has ended. It may be called again. All other calls then return ErrClosed.
	Close() error
}
