// Package conditioning makes what a UNet is told besides the sample: encoded prompts, pooled texts and size conditioning, for both halves
// of guidance. The encoder's outputs are remembered in a Cache. The numbers are those of diffusers'
// StableDiffusionXLPipeline.encode_prompt.
package conditioning

import (
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Embedding is what the UNet is told besides the sample: one half of guidance, for one picture.
type Embedding struct {
	Context []float32 // [Tokens, ContextDim]
	Tokens  int
	Pooled  []float32 // [PooledDim]
	SizeIDs []float32 // [SizeIDs]
}

// zeroed is the embedding of an absent negative prompt where force_zeros_for_empty_prompt holds.
func (e Embedding) zeroed() Embedding {
	return Embedding{Context: make([]float32, len(e.Context)), Tokens: e.Tokens, Pooled: make([]float32, len(e.Pooled))}
}

// Conditioning is both halves; without guidance Negative is nil. Positive has an embedding for each part of the prompt that AND joins, and
// Weights their weights.
type Conditioning struct {
	Positive []Embedding
	Weights  []float32
	Negative *Embedding
}

// Tokens is the length of the texts.
func (c *Conditioning) Tokens() int { return c.Positive[0].Tokens }

// refinerSizeIDs is how many numbers of size conditioning SDXL's refiner takes. The base takes six.
const refinerSizeIDs = 5

// SizeIDs returns the numbers of SDXL's micro-conditioning (section 2.2 of arXiv 2307.01952) that a UNet with n of them takes, for one half
// of guidance. Original size and crop come first, each height or top first. Then comes the target size, or for the refiner's five the
// aesthetic score. In the second pass of hires, sizes that were those of the first pass are its own.
func SizeIDs(n int, r *request.Request, positive, second bool) []float32 {
	original, crop, target, score := r.OriginalSize, r.CropsCoordsTopLeft, r.TargetSize, r.AestheticScore
	if !positive {
		original, crop, target = r.NegativeSizes(n == refinerSizeIDs)
		score = r.NegativeAestheticScore
	}
	if second {
		first, now := request.Size{Height: r.Height, Width: r.Width}, request.Size{Height: r.Hires.Height, Width: r.Hires.Width}
		for _, s := range []*request.Size{&original, &target} {
			if *s == first {
				*s = now
			}
		}
	}
	ids := []float32{float32(original.Height), float32(original.Width), float32(crop.Top), float32(crop.Left)}
	if n == refinerSizeIDs {
		return append(ids, float32(score))
	}
	return append(ids, float32(target.Height), float32(target.Width))
}
