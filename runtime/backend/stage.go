package backend

// Stage names a part of a run that has a compute buffer.
type Stage int

// The stages of a run.
const (
	StageText Stage = iota
	StageText2
	StageUNet
	StageVAEEncode
	StageVAEDecode
	StageControl     // a ControlNet
	StageControlHint // its picture
	StageUpscale
	StageFeatures    // what keeping features takes beside StageUNet's buffer
	StageImageEncode // CLIP's image encoder
	StageIPAdapter   // keys and values of pictures
	StageDetect      // a detector
)

// ComputeQuery asks how large the compute buffer of a stage is.
type ComputeQuery struct {
	Stage         Stage
	Batch         int // chunks for the text stages
	Height, Width int // latent cells (UNet, ControlNet, decode) or pixels (encode, hint, upscaling, detecting)
	ContextTokens int // UNet and ControlNet only
	Texts         int // UNet and ControlNet: how many different contexts the rows have; 0: all differ
	Change        UNetChange
	Keep          Keep
	Branch        int // with Keep of StageFeatures
	ImagePrompts  int // UNet: how many there are
	ImageTokens   int // of each of them; of a picture's embedding for StageIPAdapter
	ImageMasks    bool
	Regions       RegionTexts
}

// Laned is a Model that can compute parts of a batch side by side.
type Laned interface {
	// ComputeLanes returns in how many parts the batch of a query is computed; 1 if it is one graph. ComputeBytes counts the
	// buffers of all parts.
	ComputeLanes(q ComputeQuery) (int, error)
}
