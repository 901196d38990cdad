package backend

import (
	"context"
	"image"
)

// The parts of a VAE, as stages for VAEParts and Model.ComputeBytes. Between the middle and the levels are features, as high and
// wide as the latents. ComputeBytes takes pixels for StageVAEEncodeLevels and cells of latents for the others. It counts a run that
// reports statistics too, if that takes more.
const (
	StageVAEDecodeMiddle Stage = iota + 16 // latents [1, LatentChannels, h, w] to features [1, C, h, w]
	StageVAEDecodeLevels                   // features to pixels [1, 3, 8h, 8w]
	StageVAEEncodeLevels                   // pixels to features
	StageVAEEncodeMiddle                   // features to moments [1, 2*LatentChannels, h, w]
)

// VAEPartInfo has the dimensions of one part.
type VAEPartInfo struct {
	InChannels, OutChannels int
	Norms                   int // how many group norms take and report statistics; 0 for a middle
	Groups                  int // of each norm
}

// NormStatistics has the mean and the variance of each group of each norm of a part: [Norms, Groups, 2].
type NormStatistics []float32

// VAEPartInput is one run of a part, on one picture or one tile of it.
type VAEPartInput struct {
	Stage      Stage
	Input      Tensor         // [1, InChannels, h, w]
	Statistics NormStatistics // what the group norms use; nil: those of their own input, as in the whole VAE
	// Core is the part of the input whose statistics are reported; empty: none are. It is in the input's units, and its sides
	// are on borders of latent cells.
	Core image.Rectangle
}

// VAEParts is a Model whose VAE can run in parts. The middle is small and its attention sees the whole picture, so it runs on all of it.
// The levels run tile by tile. Their group norms use the statistics of the whole picture, because with its own statistics the colours of a
// tile would depend on its contents. A VAE without group norms does not need this.
type VAEParts interface {
	// VAEPartInfo describes a part. The error is ErrUnsupported if the model does not have it.
	VAEPartInfo(stage Stage) (VAEPartInfo, error)
	// RunVAEPart runs a part. measured is nil without a core.
	RunVAEPart(ctx context.Context, in VAEPartInput) (out Tensor, measured NormStatistics, err error)
}
