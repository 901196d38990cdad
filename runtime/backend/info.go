package backend

// ComponentInfo describes one component of an open model.
type ComponentInfo struct {
	Name           string `json:"name"`    // "text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder"
	Present        bool   `json:"present"` // the files have it
	Opened         bool   `json:"opened"`  // Open was asked for it, so that it can be used
	Loaded         bool   `json:"loaded"`  // its weights, or their window, are in memory now
	FileType       Type   `json:"file_type"`
	Type           Type   `json:"type"`
	Tensors        int64  `json:"tensors"`
	Parameters     int64  `json:"parameters"`
	ParameterBytes int64  `json:"parameter_bytes"` // when all of it is loaded
	ResidentBytes  int64  `json:"resident_bytes"`  // what its weights take now, on its device and on the host
	MappedBytes    int64  `json:"mapped_bytes"`    // used where a mapped file has them; not in ResidentBytes
	Device         string `json:"device"`

	Residency Residency `json:"residency,omitempty"`
}

// TextInfo has the dimensions of a text encoder.
type TextInfo struct {
	VocabSize     int `json:"vocab_size"`
	Width         int `json:"width"`
	Layers        int `json:"layers"`
	Heads         int `json:"heads"`
	ProjectionDim int `json:"projection_dim"` // of the pooled output; 0 where there is none
	MaxTokens     int `json:"max_tokens"`     // 77
}

// UNetInfo has the dimensions of the UNet.
type UNetInfo struct {
	InChannels       int   `json:"in_channels"`
	OutChannels      int   `json:"out_channels"`
	ModelChannels    int   `json:"model_channels"`
	ContextDim       int   `json:"context_dim"`
	LabelDim         int   `json:"label_dim"`
	PooledDim        int   `json:"pooled_dim"`
	SizeIDs          int   `json:"size_ids"`
	Channels         []int `json:"channels"`
	Resnets          []int `json:"resnets"`
	TransformerDepth []int `json:"transformer_depth"`
	MiddleDepth      int   `json:"middle_depth"`
	HeadDim          int   `json:"head_dim"`
	NormNumGroups    int   `json:"norm_num_groups"`
	// Blocks are the names of all transformer blocks, as diffusers has them: "mid_block.attentions.0.transformer_blocks.0".
	Blocks []string `json:"-"`
	// GuidanceDim is the width of the embedding of the guidance scale that a UNet distilled with guidance (LCM) has; 0: it has none.
	// Such a UNet is told the scale, and there is no negative half.
	GuidanceDim int `json:"guidance_dim,omitempty"`
	// Attentions is the number of cross attentions, and AttentionValues that of a token's keys and values in all of them.
	Attentions      int `json:"attentions,omitempty"`
	AttentionValues int `json:"attention_values,omitempty"`
}

// Halves reports whether a negative half is evaluated beside the positive one, where guidance is wanted.
func (u UNetInfo) Halves(guided bool) bool { return guided && u.GuidanceDim == 0 }

// VAEInfo has the dimensions of the VAE.
type VAEInfo struct {
	LatentChannels  int   `json:"latent_channels"`
	EncoderChannels []int `json:"encoder_channels"`
	DecoderChannels []int `json:"decoder_channels"`
	Downscale       int   `json:"downscale"` // how many pixels wide and high one cell of the latents is: 8
	NormNumGroups   int   `json:"norm_num_groups"`
}

// ModelInfo describes an open model.
type ModelInfo struct {
	Kind            Kind            `json:"kind"`
	Layout          string          `json:"layout"` // "original", "diffusers", "mixed"
	Precision       Precision       `json:"precision"`
	PrecisionReason string          `json:"precision_reason"`
	FlashAttention  bool            `json:"flash_attention"`
	Threads         int             `json:"threads"`
	VPrediction     bool            `json:"v_prediction"`
	ZeroTerminalSNR bool            `json:"zero_terminal_snr"`
	Components      []ComponentInfo `json:"components"`
	TextEncoder     TextInfo        `json:"text_encoder"`
	TextEncoder2    TextInfo        `json:"text_encoder_2"`
	UNet            UNetInfo        `json:"unet"`
	VAE             VAEInfo         `json:"vae"`
	Control         ControlInfo     `json:"control,omitzero"`
	Upscaler        UpscalerInfo    `json:"upscaler,omitzero"`
	ImageEncoder    ImageInfo       `json:"image_encoder,omitzero"`
	IPAdapter       IPAdapterInfo   `json:"ip_adapter,omitzero"`
	Detector        DetectorInfo    `json:"detector,omitzero"`
	UnusedTensors   int64           `json:"unused_tensors"`
	UnusedExample   string          `json:"unused_example,omitempty"`
}

// ControlInfo describes a ControlNet, whose other dimensions are in ModelInfo.UNet, with OutChannels 0; or a T2I-Adapter.
type ControlInfo struct {
	HintChannels  int `json:"hint_channels"`  // of the control picture: 3
	HintDownscale int `json:"hint_downscale"` // how many pixels wide and high one cell of the latents is: 8
	Types         int `json:"control_types"`  // how many kinds of control a Union net knows; 0 for an ordinary net

	// Of a T2I-Adapter: the channels of each block of features, and how many pixels wide and high one of its cells is.
	FeatureChannels  []int `json:"feature_channels,omitempty"`
	FeatureDownscale []int `json:"feature_downscale,omitempty"`

	// Of a ControlNet-XS: the channels of its embedded picture; 0: it is none. UNet then describes the UNet that it is for.
	XSChannels int `json:"xs_channels,omitempty"`
}

// UpscalerInfo has the dimensions of an upscaler.
type UpscalerInfo struct {
	Scale    int `json:"scale"` // 2, 4, ...
	Channels int `json:"channels"`
	Blocks   int `json:"blocks"`
	Multiple int `json:"multiple"` // height and width of the input must be multiples of it
}

// DetectorInfo has the dimensions of a detector.
type DetectorInfo struct {
	Classes  int `json:"classes"`
	Bins     int `json:"bins"`     // of the distribution of each side of a box: 16
	Multiple int `json:"multiple"` // height and width of the input must be multiples of it: 32
}

// Anchors is how many boxes a detector tells of a picture: the cells of 8 x 8, of 16 x 16 and of 32 x 32 pixels.
func (d DetectorInfo) Anchors(h, w int) (n int) {
	for m := max(d.Multiple, 4); m >= max(d.Multiple/4, 1); m /= 2 {
		n += h / m * (w / m)
	}
	return n
}

// ResidualShapes lists the residuals that ControlNets add to a UNet, each [channels, height, width]. The latents are h x w. One residual
// is after the first convolution, one after each resnet and downsampling on the way down, and one after the middle.
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

// ResidualCount is the number of values that the residuals of this many rows have.
func (u UNetInfo) ResidualCount(rows, h, w int) int {
	return rows * valuesOf(u.ResidualShapes(h, w))
}
