// Package rng yields the random numbers that PyTorch yields for the same seed. So pictures can be compared with those of other programs.
// It has torch's CPU generator (Mersenne Twister) and torch's CUDA generator (Philox), and imports only the standard library.
package rng

import "fmt"

// Generator is a stream of random numbers. It belongs to one goroutine.
type Generator interface {
	// Normal fills dst with standard normal values, as one call of torch.randn(len(dst)) on this
	// generator. How many values are asked for at a time matters: two calls for 8 values
	// yield other numbers than one call for 16, as in torch.
	Normal(dst []float32)
	// Uniform fills dst with values in [0, 1), as one call of torch.rand(len(dst)).
	Uniform(dst []float32)
	// Seed starts the generator afresh, as torch.manual_seed does.
	Seed(seed uint64)
}

// Kind names a generator in options.
type Kind string

// The generators: "cpu" is what diffusers and ComfyUI use by default, "gpu" what AUTOMATIC1111 uses by default
// ("NV" in its settings for computing it on any device).
const (
	CPU Kind = "cpu"
	GPU Kind = "gpu"
)

// Kinds lists every Kind.
var Kinds = []Kind{CPU, GPU}

// New makes a generator of the given kind.
func New(kind Kind, seed uint64) (Generator, error) {
	switch kind {
	case CPU, "":
		return NewTorchCPU(seed), nil
	case GPU:
		return NewPhilox(seed), nil
	}
	return nil, fmt.Errorf("rng: %q is no generator: use %q (torch's on the CPU) or %q (torch's on CUDA)", kind, CPU, GPU)
}

// Batch draws the noise of a batch of pictures, each from its own generator, so that a picture does
// not depend on the batch it is part of. It serves as the scheduler package's NoiseSource.
type Batch []Generator

// Normal fills dst, [N, C, H, W] with N = len(b), image by image.
func (b Batch) Normal(dst []float32) error {
	if len(b) == 0 || len(dst)%len(b) != 0 {
		return fmt.Errorf("rng: %d values cannot be shared out among %d generators", len(dst), len(b))
	}
	n := len(dst) / len(b)
	for i, g := range b {
		g.Normal(dst[i*n : (i+1)*n])
	}
	return nil
}
