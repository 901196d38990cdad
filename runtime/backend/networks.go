package backend

// ControlInfo is what a ControlNet has beside the dimensions in ModelInfo.UNet, whose OutChannels is then 0.
type ControlInfo struct {
	HintChannels  int `json:"hint_channels"`  // of the control picture: 3
	HintDownscale int `json:"hint_downscale"` // pixels of it per latent cell and side: 8
	Types         int `json:"control_types"`  // kinds of control a Union net tells apart; 0 for an ordinary one
}

// UpscalerInfo holds an upscaler's dimensions.
type UpscalerInfo struct {
	Scale    int `json:"scale"` // 2, 4, ...
	Channels int `json:"channels"`
	Blocks   int `json:"blocks"`
	Multiple int `json:"multiple"` // height and width of the input must be multiples of it
}

// ResidualShapes lists what ControlNets add to a UNet for latents of h x w, each [channels, height, width]: after the first
// convolution and after every resnet and downsampling on the way down, then after the middle.
func (u UNetInfo) ResidualShapes(h, w int) [][3]int {
	if len(u.Channels) == 0 {
		return nil
	}
	shapes := [][3]int{{u.Channels[0], h, w}}
	for l, c := range u.Channels {
		for range u.Resnets[l] {
			shapes = append(shapes, [3]int{c, h, w})
		}
		if l+1 < len(u.Channels) {
			h, w = (h+1)/2, (w+1)/2
			shapes = append(shapes, [3]int{c, h, w})
		}
	}
	return append(shapes, [3]int{u.Channels[len(u.Channels)-1], h, w})
}

// ResidualCount is the number of values of the residuals of rows pictures.
func (u UNetInfo) ResidualCount(rows, h, w int) int {
	n := 0
	for _, s := range u.ResidualShapes(h, w) {
		n += s[0] * s[1] * s[2]
	}
	return rows * n
}

// ControlInput is one evaluation of a ControlNet; N is the batch, T the number of context tokens.
type ControlInput struct {
	Sample    Tensor    // [N, InChannels, h, w], already scaled by the scheduler
	Timesteps []float32 // [N]
	Context   Tensor    // [N, T, ContextDim]; ignored by nets without cross-attention
	Pooled    Tensor    // [N, PooledDim]
	SizeIDs   Tensor    // [N, SizeIDs]
	Hint      Tensor    // [N or 1, ModelChannels, h, w]: EncodeHint's
	Scales    []float32 // a factor for each of ResidualShapes
	Type      int       // of a Union net: which of its kinds the hint is of
	Rows      int       // rows that the residuals are for; 0: N
	FirstRow  int       // the one that the first of the N is added to
}
