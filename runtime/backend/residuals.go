package backend

// Residuals are residuals of ControlNets that stay on a device. They belong to one run: nobody uses them beside a call that has them.
type Residuals interface {
	// Clear sets them to zeros, for the next evaluation.
	Clear() error
	// Close frees them, before their model is closed. It may be called again.
	Close() error
}

// ResidualModel is a Model with a UNet whose residuals can stay on its device. ControlNets on the same device add to them, so that
// nothing passes through the host within an evaluation.
type ResidualModel interface {
	// NewResiduals returns zeros for so many rows of latents of height x width cells.
	NewResiduals(rows, height, width int) (Residuals, error)
}
