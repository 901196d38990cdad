package pipeline

import "github.com/daguerre-go/daguerre/runtime/backend"

// expert is a model the denoising loop can ask, with what its UNet is told: the base's, or the refiner's. The word is
// that of the ensemble of experts, each for a range of noise levels (arXiv 2211.01324), as which SDXL's refiner is meant.
type expert struct {
	model      backend.Model
	info       backend.ModelInfo
	forceZeros bool // an absent negative prompt is zeros
	cond       conditioning
}

// encoders lists the text encoders whose outputs the UNet's context is made of.
func (e *expert) encoders() []int {
	if e.info.UNet.ContextDim == e.info.TextEncoder2.Width {
		return []int{1}
	}
	return []int{0, 1}
}

// native9 reports whether the UNet takes the mask and the masked picture as channels of its input, as inpainting
// checkpoints do; with ordinary ones the kept part is put back after every step.
func (e *expert) native9() bool { return e.info.UNet.InChannels == 9 }
