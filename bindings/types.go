package bindings

// The structs below mirror those of daguerre.h field by field: same order, same widths, C's padding
// made by Go's own rules, which agree on the 64-bit platforms that purego serves. A test compiles the
// header and compares every offset. Whoever makes a call fills the pointers with [Pointer]; the call itself pins them and sets the
// sizes of the structs.

// Name is a char[DG_NAME_LEN] of the ABI.
type Name [nameLen]byte

// String returns the text before the NUL.
func (n Name) String() string { return goString(n[:]) }

// Desc is a char[DG_DESC_LEN] of the ABI.
type Desc [descLen]byte

// String returns the text before the NUL.
func (d Desc) String() string { return goString(d[:]) }

// BuildInfo mirrors dg_build_info: what the library is and what it was compiled for.
type BuildInfo struct {
	StructSize   uintptr
	Variant      Name  // "cpu", "vulkan", "cuda"
	Version      Name  // of libdaguerre
	Engine       Name  // pin of the engine
	Compiler     Desc  //
	Features     Desc  // compiled in, space separated
	CPUFeatures  Desc  // of this CPU, same spelling
	CPUSupported int32 // 0: this CPU lacks an instruction set that was compiled in
}

// deviceInfo mirrors dg_device_info: one place to compute on.
type deviceInfo struct {
	StructSize  uintptr
	ID          Name // stable name used in options: "cpu", "vulkan:0"
	Description Desc // as the driver calls it
	Kind        int32
	IsSoftware  int32 // a GPU API emulated on the CPU: only by explicit choice
	TotalBytes  int64
	FreeBytes   int64 // when it was asked

	Driver         Desc  // name and version; empty for the CPU, and where it is not known
	MaxTensorBytes int64 // the largest tensor that it can compute with; 0: memory is the limit
	MaxBufferBytes int64 // the largest single allocation; 0: memory is the limit
}

// ModelConfig mirrors dg_model_config: what weights do not tell. Zero means SDXL's own value.
type ModelConfig struct {
	StructSize            uintptr
	UNetNormNumGroups     int32 // 32
	VAENormNumGroups      int32 // 32
	UNetAttentionHeadDim  int32 // channels per head: 64
	TextHeadDim           int32 // channels per head of both text encoders: 64
	TextEncoderQuickGELU  int32 // one of Activations; the default is quick_gelu
	TextEncoder2QuickGELU int32 // one of Activations; the default is gelu
	ImageHeadDim          int32 // channels per head of the image encoder: 80 of ViT-H, 104 of ViT-bigG, else 64
	ImageQuickGELU        int32 // one of Activations; the default is gelu

	// Of a ControlNet-XS.
	XSHeads         [MaxLevels]int32 // of each level
	XSNormNumGroups int32            // most groups of a norm: 32
	XSBGR           int32            // 1: pictures are seen as BGR
	XSTimeMixGiven  int32            // 1: XSTimeMix counts
	XSReserved      int32
	XSTimeMix       float64 // 1
}

// modelFile mirrors dg_model_file.
type modelFile struct {
	StructSize uintptr
	Path       *byte
	Size       int64
	Modified   int64
	Changed    int64
	Device     int64
	Inode      int64
}

// weight mirrors dg_weight.
type weight struct {
	StructSize uintptr
	Name       *byte
	Stored     *byte
	File       int32
	Type       int32
	Dims       int32
	Strided    int32
	Offset     int64
	Bytes      int64
	Shape      [4]int64
	Strides    [4]int64
	Scale      *float32
	ScaleCount int64
}

// modelParams mirrors dg_model_params.
type modelParams struct {
	StructSize     uintptr
	Files          *modelFile
	FileCount      int64
	Weights        *weight
	WeightCount    int64
	Config         *ModelConfig
	Device         *byte
	DeviceText     *byte
	DeviceVAE      *byte
	Components     int32
	TypeUNet       int32
	TypeText       int32
	TypeVAE        int32
	Precision      int32
	Threads        int32
	FlashAttention int32
	Cancel         *int32
	ResidencyText  int32
	ResidencyUNet  int32
	ResidencyVAE   int32
	Convolution    int32
	StreamBytes    int64
	AttentionBytes int64
	CacheFolder    *byte
	CacheBuild     *byte
	CacheLeast     int64
	CacheMost      int64
}

// ComponentInfo mirrors dg_component_info: one component of an open model.
type ComponentInfo struct {
	StructSize     uintptr
	Present        int32 // in the files
	Loaded         int32 // chosen when the model was opened; Memory tells what is in memory
	FileType       int32 // of most weight bytes in the file
	Type           int32 // of most weight bytes in memory
	TensorCount    int64
	ParameterCount int64
	ParameterBytes int64 // in memory when all of it is loaded
	Device         Name
}

// TextInfo mirrors dg_text_info: a text encoder's dimensions.
type TextInfo struct {
	StructSize    uintptr
	VocabSize     int64
	Width         int64 // hidden size
	Layers        int64
	Heads         int64
	ProjectionDim int64 // of the pooled output; 0 where there is no projection
	MaxTokens     int64 // 77
}

// UNetInfo mirrors dg_unet_info: the UNet's dimensions. Arrays are valid up to Levels.
type UNetInfo struct {
	StructSize       uintptr
	InChannels       int64 // 4, 9 for inpainting
	OutChannels      int64 // 4
	ModelChannels    int64 // 320 for base
	ContextDim       int64 // 2048 for base
	LabelDim         int64 // pooled + 256 x size ids
	PooledDim        int64
	SizeIDs          int64 // 6; 5 for the refiner
	Levels           int64
	Channels         [MaxLevels]int64
	Resnets          [MaxLevels]int64 // on the way down
	TransformerDepth [MaxLevels]int64
	MiddleDepth      int64
	HeadDim          int64 // 64
	NormNumGroups    int64 // 32
}

// VAEInfo mirrors dg_vae_info: the VAE's dimensions. Arrays are valid up to Levels.
type VAEInfo struct {
	StructSize      uintptr
	LatentChannels  int64 // 4
	Levels          int64
	EncoderChannels [MaxLevels]int64
	DecoderChannels [MaxLevels]int64 // in the encoder's order
	EncoderResnets  int64
	DecoderResnets  int64
	Downscale       int64 // 8: pixels per latent cell and side
	NormNumGroups   int64
}

// ControlInfo mirrors dg_control_info: what a ControlNet has beside the dimensions in UNetInfo.
type ControlInfo struct {
	StructSize    uintptr
	HintChannels  int64 // of the control picture: 3
	HintDownscale int64 // pixels of it per latent cell and side: 8
	ControlTypes  int64 // kinds of control a Union net tells apart; 0 for an ordinary one

	Features         int64            // blocks of features of a T2I-Adapter; 0 for a ControlNet
	FeatureChannels  [MaxLevels]int64 // of each block
	FeatureDownscale [MaxLevels]int64 // pixels of the picture per cell and side

	XSChannels int64 // of a ControlNet-XS: those of the embedded picture; 0: it is none
}

// UpscalerInfo mirrors dg_upscaler_info: an upscaler's dimensions.
type UpscalerInfo struct {
	StructSize uintptr
	Scale      int64 // 2, 4, ...
	Channels   int64
	Blocks     int64
	Multiple   int64 // height and width of the input must be multiples of it
}

// detectorInfo mirrors dg_detector_info: a detector's dimensions.
type detectorInfo struct {
	StructSize uintptr
	Classes    int64
	Bins       int64 // of the distribution of each side of a box
	Multiple   int64 // height and width of the input must be multiples of it
}

// ModelInfo mirrors dg_model_info: everything known about an open model.
type ModelInfo struct {
	StructSize      uintptr
	Kind            int32
	Precision       int32 // chosen, never PrecisionAuto
	FlashAttention  int32 // 1 if used by the UNet
	Threads         int32
	PrecisionReason Desc                          // why this precision and type
	Components      [ComponentCount]ComponentInfo // by bit position of Component
	TextEncoder     TextInfo
	TextEncoder2    TextInfo
	UNet            UNetInfo
	VAE             VAEInfo
	Control         ControlInfo
	Upscaler        UpscalerInfo
	UNetGuidanceDim int64 // of the UNet's embedding of the guidance scale; 0: it has none

	ImageEncoder        imageEncoderInfo
	IPAdapter           ipAdapterInfo
	UNetAttentions      int64 // cross attentions of the UNet
	UNetAttentionValues int64 // keys and values of a token in all of them
	Detector            detectorInfo
}
