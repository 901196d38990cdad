package pipeline

import (
	"cmp"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// fillSizes fills in the size conditioning. Where nothing negative is given, the negative half is told the
// same as the positive one; with a negative size the negative crop is as given, [0, 0] included. (diffusers
// takes negative sizes only where both are given; here each has its own default.)
func fillSizes(r *request.Request) {
	size := request.Size{Height: r.Height, Width: r.Width}
	r.OriginalSize = cmp.Or(r.OriginalSize, size)
	r.TargetSize = cmp.Or(r.TargetSize, size)
	if r.NegativeOriginalSize == (request.Size{}) && r.NegativeTargetSize == (request.Size{}) {
		r.NegativeCropsCoordsTopLeft = cmp.Or(r.NegativeCropsCoordsTopLeft, r.CropsCoordsTopLeft)
	}
	r.NegativeOriginalSize = cmp.Or(r.NegativeOriginalSize, r.OriginalSize)
	r.NegativeTargetSize = cmp.Or(r.NegativeTargetSize, r.TargetSize)
}

// refinerSizeIDs is how many numbers of micro-conditioning SDXL's refiner takes; the base takes six.
const refinerSizeIDs = 5

// sizeIDs returns the numbers of SDXL's micro-conditioning (section 2.2 of arXiv 2307.01952) in the order a UNet
// with n of them takes them: original size and crop, each height or top first, then the target size, or for the refiner's
// five the aesthetic score.
func sizeIDs(n int, original request.Size, crop request.Point, target request.Size, aestheticScore float64) []float32 {
	ids := []float32{float32(original.Height), float32(original.Width), float32(crop.Top), float32(crop.Left)}
	if n == refinerSizeIDs {
		return append(ids, float32(aestheticScore))
	}
	return append(ids, float32(target.Height), float32(target.Width))
}

// embedding is what the UNet is told besides the sample: one half of guidance, for one picture.
type embedding struct {
	context []float32 // [tokens, ContextDim]
	tokens  int
	pooled  []float32 // [PooledDim]
	sizeIDs []float32 // [SizeIDs]
}

// zeroed is the embedding of an absent negative prompt where force_zeros_for_empty_prompt holds.
func (e embedding) zeroed() embedding {
	return embedding{context: make([]float32, len(e.context)), tokens: e.tokens, pooled: make([]float32, len(e.pooled)), sizeIDs: e.sizeIDs}
}

// conditioning is both halves; without guidance negative is nil.
type conditioning struct {
	positive embedding
	negative *embedding
}

// rows returns the embeddings of a batch's pictures in the order of the UNet's batch: the negative ones, then the positive
// ones, as diffusers concatenates them.
func (j *job) rows(b *batch, e *expert) []embedding {
	var negative, positive []embedding
	for _, slot := range b.slots {
		own := j.expertOf(slot.job, e)
		half := own.cond.positive
		if b.second {
			half.sizeIDs = slot.job.secondSizeIDs(own, true)
		}
		positive = append(positive, half)
		if own.cond.negative != nil {
			half = *own.cond.negative
			if b.second {
				half.sizeIDs = slot.job.secondSizeIDs(own, false)
			}
			negative = append(negative, half)
		}
	}
	return append(negative, positive...)
}

// expertOf is what one of the jobs that are computed together has of an expert of j's.
func (j *job) expertOf(member *job, e *expert) *expert {
	if e == &j.base {
		return &member.base
	}
	return member.refiner
}

// unetInput allocates the UNet's input for the given rows; sample and timesteps are still to be filled.
func unetInput(info backend.UNetInfo, rows []embedding, height, width int) backend.UNetInput {
	n, tokens := len(rows), rows[0].tokens
	in := backend.UNetInput{
		Sample:    backend.NewTensor(n, info.InChannels, height, width),
		Timesteps: make([]float32, n),
		Context:   backend.NewTensor(n, tokens, info.ContextDim),
		Pooled:    backend.NewTensor(n, info.PooledDim),
		SizeIDs:   backend.NewTensor(n, info.SizeIDs),
	}
	for i, row := range rows {
		copy(in.Context.Data[i*tokens*info.ContextDim:], row.context)
		copy(in.Pooled.Data[i*info.PooledDim:], row.pooled)
		copy(in.SizeIDs.Data[i*info.SizeIDs:], row.sizeIDs)
	}
	return in
}
