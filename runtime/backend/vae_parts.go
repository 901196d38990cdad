package backend

import (
	"context"
	"image"
)

// The parts of a VAE, as stages for VAEParts and Model.ComputeBytes. Features lie between middle and levels; they are of the latents'
// height and width. ComputeBytes takes pixels for StageVAEEncodeLevels, latent cells for the others, and gives the larger
// of measuring and computing.
const (
	StageVAEDecodeMiddle Stage = iota + 16 // latents [1, LatentChannels, h, w] to features [1, C, h, w]
	StageVAEDecodeLevels                   // features to pixels [1, 3, 8h, 8w]
	StageVAEEncodeLevels                   // pixels to features
	StageVAEEncodeMiddle                   // features to moments [1, 2*LatentChannels, h, w]
)

// VAEPartInfo holds the dimensions of one part.
type VAEPartInfo struct {
	InChannels, OutChannels int
	Norms                   int // group norms that take and report statistics; 0 for the middles
	Groups                  int // of each norm
}

// NormStatistics is the mean and variance of every group of every norm of a part: [Norms, Groups, 2].
type NormStatistics []float32

// VAEPartInput is one run of a part, on one picture or one tile of it.
type VAEPartInput struct {
	Stage      Stage
	Input      Tensor         // [1, InChannels, h, w]
	Statistics NormStatistics // what the group norms norm by; nil: each by its own input, as the undivided VAE does
	// Core is the part of the input, in its units and on the borders of latent cells, whose statistics are reported;
	// empty for none.
	Core image.Rectangle
}

// VAEParts is what a Model offers besides if its VAE can run in parts: the middle, whose attention sees the whole picture and which is
// small, on all of it, and the levels by tiles, with the group norms' statistics of the whole picture. Without
// those a tile's colours depend on what else the tile shows. Models without group norms have no need for it.
type VAEParts interface {
	// VAEPartInfo describes a part. Its error is of the kind of EncodeImage's where the model has no such part.
	VAEPartInfo(stage Stage) (VAEPartInfo, error)
	// RunVAEPart runs a part. measured is nil where no core is given.
	RunVAEPart(ctx context.Context, in VAEPartInput) (out Tensor, measured NormStatistics, err error)
}
