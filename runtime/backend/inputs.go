package backend

// TextInput is one call of a text encoder.
type TextInput struct {
	Encoder  int       // 0: CLIP-L, 1: OpenCLIP-bigG
	ClipSkip int       // 0: the penultimate layer, as SDXL; k: k layers earlier
	IDs      [][]int32 // [chunks][MaxTokens], with start, end and padding; the id VocabSize+k is row k of Custom
	Custom   Tensor    // [rows, Width], embeddings of textual inversion; zero: none
	LoRAs    []LoRAUse // adapters; only their targets in this component count
}

// TextOutput is the result of a text encoder.
type TextOutput struct {
	Hidden Tensor // [chunks, MaxTokens, Width], before the final norm
	Pooled Tensor // [chunks, ProjectionDim]; zero if the encoder has no projection
}

// UNetInput is one evaluation of the UNet; N is the batch, T the number of context tokens.
type UNetInput struct {
	Sample    Tensor    // [N, InChannels, h, w], already scaled by the scheduler
	Timesteps []float32 // [N]
	Context   Tensor    // [N, T, ContextDim]
	Pooled    Tensor    // [N, PooledDim]
	SizeIDs   Tensor    // [N, SizeIDs]
	Guidance  []float32 // [N]: the guidance scale, where UNetInfo.GuidanceDim is not 0; nil: none
	Residuals []float32 // of ControlNets, ResidualCount values for N rows; nil: none
	LoRAs     []LoRAUse // adapters; only their targets in this component count
	Kept      Kept      // of a FeatureModel: results of layers that evaluations share
	OnDevice  Residuals // of a ResidualModel, for N rows, instead of Residuals; nil: none
	Pictures  []ImagePrompt

	// Blocks are what T2I-Adapters add inside the UNet: block by block of BlockShapes, [BlockRows, channels, h, w] each. BlockRows is N, or
	// 1 if all rows have the same. None: nothing.
	Blocks    []float32
	BlockRows int

	Change  UNetChange // excludes Kept
	Regions TextRegions
	XS      XS
}

// XS is a ControlNet-XS, which becomes a part of one evaluation of the UNet.
type XS struct {
	Net   Model   // of the same backend, on the UNet's device and in its precision, not streamed; nil: there is none
	Hint  Tensor  // [1, ControlInfo.XSChannels, h, w]: EncodeHint's, the same for all rows
	Scale float32 // what the net adds to the UNet is multiplied by it
}

// HintKind says what one of several hints shows, and how much it weighs.
type HintKind struct {
	Type   int
	Weight float32
}

// ControlInput is one evaluation of a ControlNet; N is the batch, T the number of context tokens.
type ControlInput struct {
	Sample    Tensor      // [N, InChannels, h, w], already scaled by the scheduler
	Timesteps []float32   // [N]
	Context   Tensor      // [N, T, ContextDim]; ignored by nets without cross-attention
	Pooled    Tensor      // [N, PooledDim]
	SizeIDs   Tensor      // [N, SizeIDs]
	Hint      Tensor      // [N or 1, ModelChannels, h, w]: EncodeHint's; with Kinds, one row for each of them
	Scales    []float32   // one factor for each of ResidualShapes
	Type      int         // of a Union net: the kind of the hint
	Kinds     []HintKind  // of a Union net: of two hints or more, which the net sees at once; empty: there is one, of Type
	Rows      int         // how many rows the residuals have; 0: N
	FirstRow  int         // the row of the residuals that the first of the N is added to
	OnDevice  Residuals   // what is added to, of a ResidualModel, instead of the host's; nil: those
	Regions   TextRegions // ignored by nets without cross-attention
}
