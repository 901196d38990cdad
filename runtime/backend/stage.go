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
	Keep          Keep        // UNet and StageFeatures
	Use           FeaturesUse // UNet, with Keep; FeaturesStore of StageFeatures leaves the graph that reuses them out
	Branch        int         // with Keep
	ImagePrompts  int         // UNet: how many there are
	ImageTokens   int         // of each of them; of a picture's embedding for StageIPAdapter
	ImageRows     int         // UNet: how many different rows each has: those of the halves of guidance; 0: 2, or 1 of a batch of 1
	ImageMasks    bool
	Regions       RegionTexts
	Residuals     ResidualsAt // UNet: of ControlNets
	BlockRows     int         // UNet: as UNetInput's
	Kinds         int         // ControlNet: how many ControlInput's are; 0: none
	XS            Model       // UNet and StageFeatures: as UNetInput's; its weights need not be loaded
	LoRAs         []LoRAShape // UNet and text: of all adapters that are applied; those of other components are passed over
}

// ResidualsAt is where an evaluation of the UNet finds the residuals of ControlNets; "": there are none.
type ResidualsAt string

// The places.
const (
	ResidualsOnDevice ResidualsAt = "device" // UNetInput.OnDevice
	ResidualsOnHost   ResidualsAt = "host"   // UNetInput.Residuals
)

// LoRAShape is a change that adapters make to a module, as far as graphs depend on it. A DoRA's target is two of them.
type LoRAShape struct {
	Module  string
	Form    LoRAForm
	Rank    int    // of low ranks, also of inputs
	Shape   [4]int // of A and B of a Kronecker product; of a rotation's stages
	Factors bool   // a rotation has B
}

// Laned is a Model that can compute parts of a batch side by side.
type Laned interface {
	// ComputeLanes returns in how many parts the batch of a query is computed; 1 if it is one graph. ComputeBytes counts the
	// buffers of all parts.
	ComputeLanes(q ComputeQuery) (int, error)
}
