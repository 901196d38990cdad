// Package backend is the interface between the pipeline and what computes: devices, models, and the few tensor operations that
// SDXL needs. It decides nothing itself. Two packages implement it: backend/native uses libdaguerre; backend/fake is for tests,
// in pure Go. A third one can be tested with backend/backendtest.
package backend

import "context"

// Tensor is a dense array of float32. Its dimensions are in PyTorch's order, [N, C, H, W] or [N, T, D]: the last index is the
// fastest.
type Tensor struct {
	Shape []int
	Data  []float32
}

// NewTensor returns a tensor of zeros.
func NewTensor(shape ...int) Tensor {
	return Tensor{Shape: append([]int(nil), shape...), Data: make([]float32, Count(shape...))}
}

// Count returns the number of elements of a shape; 1 for an empty one.
func Count(shape ...int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// DeviceKind tells what a device is.
type DeviceKind string

// The kinds of device, as ggml names them.
const (
	DeviceCPU   DeviceKind = "cpu"
	DeviceGPU   DeviceKind = "gpu"
	DeviceIGPU  DeviceKind = "igpu"
	DeviceAccel DeviceKind = "accel"
)

// Device is a place to compute on, as a plain value.
type Device struct {
	ID          string     `json:"id"` // "cpu", "vulkan:0", "cuda:1": what options take
	Description string     `json:"description"`
	Kind        DeviceKind `json:"kind"`
	Software    bool       `json:"software"` // a GPU API emulated on the CPU: only by explicit choice
	TotalBytes  int64      `json:"total_bytes"`
	FreeBytes   int64      `json:"free_bytes"` // when it was listed
}

// Type names how weights are stored, in ggml's spelling in lower case ("f16", "q8_0", "q4_k").
type Type string

// The types a model can be opened with. TypeAuto keeps the file's, or takes what the precision asks for.
const (
	TypeAuto   Type = "auto"
	TypeF32    Type = "f32"
	TypeF16    Type = "f16"
	TypeBF16   Type = "bf16"
	TypeQ8_0   Type = "q8_0"
	TypeQ4_0   Type = "q4_0"
	TypeQ4_1   Type = "q4_1"
	TypeQ5_0   Type = "q5_0"
	TypeQ5_1   Type = "q5_1"
	TypeQ2_K   Type = "q2_k"
	TypeQ3_K   Type = "q3_k"
	TypeQ4_K   Type = "q4_k"
	TypeQ5_K   Type = "q5_k"
	TypeQ6_K   Type = "q6_k"
	TypeIQ4_NL Type = "iq4_nl"
)

// Types lists every value of Type, TypeAuto first.
var Types = []Type{TypeAuto, TypeF32, TypeF16, TypeBF16, TypeQ8_0, TypeQ4_0, TypeQ4_1, TypeQ5_0,
	TypeQ5_1, TypeQ2_K, TypeQ3_K, TypeQ4_K, TypeQ5_K, TypeQ6_K, TypeIQ4_NL}

// Precision names the arithmetic around the weights.
type Precision string

// The precisions of design: exact is F32 throughout with erf GELU; auto is the fastest that keeps
// fidelity on the device.
const (
	PrecisionAuto  Precision = "auto"
	PrecisionExact Precision = "exact"
	PrecisionF32   Precision = "f32"
	PrecisionF16   Precision = "f16"
	PrecisionBF16  Precision = "bf16"
)

// Precisions lists every value of Precision.
var Precisions = []Precision{PrecisionAuto, PrecisionExact, PrecisionF32, PrecisionF16, PrecisionBF16}

// Kind says what a checkpoint is.
type Kind string

// The kinds a backend can open.
const (
	KindUnknown     Kind = "unknown"
	KindSDXLBase    Kind = "sdxl-base"
	KindSDXLRefiner Kind = "sdxl-refiner"
	KindSDXLInpaint Kind = "sdxl-inpaint"
	KindVAE         Kind = "vae"
	KindTextEncoder Kind = "text-encoder"
	KindControlNet  Kind = "controlnet"
	KindTAESD       Kind = "taesd"    // encodes and decodes like a VAE, latents in the UNet's own range
	KindUpscaler    Kind = "upscaler" // ESRGAN
)

// Files names where each component comes from. Model is a checkpoint or a diffusers folder; the
// others, where set, replace that component of it.
type Files struct {
	Model        string
	UNet         string
	TextEncoder  string
	TextEncoder2 string
	VAE          string

	// Each of these is a model of its own: the only file that is named.
	ControlNet string
	TAESD      string
	Upscaler   string
}

// Hyper is what weights do not tell; zero values mean SDXL's own.
type Hyper struct {
	UNetNormNumGroups    int
	VAENormNumGroups     int
	UNetAttentionHeadDim int
	TextHeadDim          int
	TextEncoderAct       string // "", "quick_gelu" or "gelu"
	TextEncoder2Act      string
}

// ModelConfig says what to open and how.
type ModelConfig struct {
	Files          Files
	Table          *Table // of the weights in Files, whose headers were read; nil: the backend reads them
	Hyper          Hyper
	Device         string // "" or "auto": the best one
	TextDevice     string // "": as Device
	VAEDevice      string
	Precision      Precision
	UNetType       Type
	TextType       Type
	VAEType        Type
	Threads        int    // 0: all physical cores
	FlashAttention string // "", "auto", "on", "off"

	// Where weights are; each zero value is ResidencyResident. UNetResidency is also a ControlNet's and an upscaler's.
	TextResidency Residency
	UNetResidency Residency
	VAEResidency  Residency
	// StreamBytes is the size of the window of each streamed component; 0: the backend's choice. One that the largest layer
	// does not fit into is an error that says what would.
	StreamBytes int64
	// AttentionSlicing computes attention in slices where its scores are kept in memory, which is where flash attention is off or
	// not offered: less memory, a little slower.
	AttentionSlicing bool
	// Components names those to load, as ComponentInfo does; empty: all that the files hold.
	Components []string
}

// ComponentInfo reports one component of an open model.
type ComponentInfo struct {
	Name           string `json:"name"`    // "text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder"
	Present        bool   `json:"present"` // in the files
	Opened         bool   `json:"opened"`  // chosen at Open: it can be used, and is loaded then if need be
	Loaded         bool   `json:"loaded"`  // its weights, or their window, are in memory now
	FileType       Type   `json:"file_type"`
	Type           Type   `json:"type"`
	Tensors        int64  `json:"tensors"`
	Parameters     int64  `json:"parameters"`
	ParameterBytes int64  `json:"parameter_bytes"` // when all of it is loaded
	ResidentBytes  int64  `json:"resident_bytes"`  // memory its weights take now, on its device and on the host
	MappedBytes    int64  `json:"mapped_bytes"`    // used in a mapped file, which the system may drop and read again; not in ResidentBytes
	Device         string `json:"device"`

	Residency Residency `json:"residency,omitempty"`
}

// TextInfo holds a text encoder's dimensions.
type TextInfo struct {
	VocabSize     int `json:"vocab_size"`
	Width         int `json:"width"`
	Layers        int `json:"layers"`
	Heads         int `json:"heads"`
	ProjectionDim int `json:"projection_dim"` // of the pooled output; 0 where there is none
	MaxTokens     int `json:"max_tokens"`     // 77
}

// UNetInfo holds the UNet's dimensions.
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
}

// VAEInfo holds the VAE's dimensions.
type VAEInfo struct {
	LatentChannels  int   `json:"latent_channels"`
	EncoderChannels []int `json:"encoder_channels"`
	DecoderChannels []int `json:"decoder_channels"`
	Downscale       int   `json:"downscale"` // pixels per latent cell and side: 8
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
	UnusedTensors   int64           `json:"unused_tensors"`
	UnusedExample   string          `json:"unused_example,omitempty"`
}

// TextInput is one call of a text encoder.
type TextInput struct {
	Encoder  int       // 0: CLIP-L, 1: OpenCLIP-bigG
	ClipSkip int       // 0: the penultimate layer, as SDXL; k: k layers earlier
	IDs      [][]int32 // [chunks][MaxTokens], with start, end and padding; VocabSize+k is row k of Custom
	Custom   Tensor    // [custom, Width] embeddings of textual inversion, or zero
	LoRAs    []LoRAUse // adapters to apply; targets of other components are passed over
}

// TextOutput is what a text encoder yields.
type TextOutput struct {
	Hidden Tensor // [chunks, MaxTokens, Width], before the final norm
	Pooled Tensor // [chunks, ProjectionDim]; zero where the encoder has no projection
}

// UNetInput is one evaluation of the UNet; N is the batch, T the number of context tokens.
type UNetInput struct {
	Sample    Tensor    // [N, InChannels, h, w], already scaled by the scheduler
	Timesteps []float32 // [N]
	Context   Tensor    // [N, T, ContextDim]
	Pooled    Tensor    // [N, PooledDim]
	SizeIDs   Tensor    // [N, SizeIDs]
	Residuals []float32 // what ControlNet leaves for N rows, ResidualCount values; nil: none
	LoRAs     []LoRAUse // adapters to apply; targets of other components are passed over
}

// Stage names a graph for Model.ComputeBytes.
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
)

// ComputeQuery asks for a stage's compute-buffer size.
type ComputeQuery struct {
	Stage         Stage
	Batch         int // chunks for the text stages
	Height, Width int // latent cells (UNet, ControlNet, decode) or pixels (encode, hint, upscaling)
	ContextTokens int // UNet and ControlNet only
	Texts         int // UNet and ControlNet: how many of the rows' contexts differ, whose keys and values are computed once; 0: all
}

// Laned is what a Model offers besides if it computes the rows of a batch in shares side by side.
type Laned interface {
	// ComputeLanes returns how many shares the batch of a query is computed in; 1 where it is one graph. ComputeBytes counts the
	// buffers of all of them.
	ComputeLanes(q ComputeQuery) (int, error)
}

// Backend lists devices and opens models. It is safe for concurrent use.
type Backend interface {
	// Devices lists what can compute, with the memory that is free now.
	Devices(ctx context.Context) ([]Device, error)
	// Open reads, checks and loads a model. Cancelling ctx stops it at the next tensor.
	Open(ctx context.Context, cfg ModelConfig) (Model, error)
}

// Model is an open model. Several goroutines may call its methods. Tokenize, Info, MemoryStats and ResetMemoryPeaks return at
// once; the other methods run one at a time. Cancelling ctx stops a computation: on the CPU inside its graph, elsewhere between
// graphs. The error is then ctx.Err(), and the model stays usable. Calls with wrong arguments return ErrArgument, and those
// that the model has no component for ErrUnsupported. Neither changes the model.
type Model interface {
	// Info describes the model. The caller may change the value.
	Info() ModelInfo
	// Tokenize returns CLIP's token ids of text, without start, end and padding.
	Tokenize(text string) ([]int32, error)
	// EncodeText runs one of the text encoders.
	EncodeText(ctx context.Context, in TextInput) (TextOutput, error)
	// UNet evaluates the UNet into out, which has N*OutChannels*h*w elements.
	UNet(ctx context.Context, in UNetInput, out []float32) error
	// EncodeImage maps pixels [N, 3, H, W] in [-1, 1] to moments [N, 2*LatentChannels, H/8, W/8]: first the means, then the
	// logarithms of the variances. It does not apply the scaling factor.
	EncodeImage(ctx context.Context, pixels Tensor) (Tensor, error)
	// DecodeLatents maps latents [N, LatentChannels, h, w] to pixels [N, 3, 8h, 8w]. The caller has divided the latents by the
	// scaling factor. The pixels are in about [-1, 1] and not clamped.
	DecodeLatents(ctx context.Context, latents Tensor) (Tensor, error)
	// EncodeHint maps the picture that controls a ControlNet, pixels [N, 3, H, W] in [0, 1], to [N, ModelChannels, H/8, W/8].
	// The result is the same in every step.
	EncodeHint(ctx context.Context, pixels Tensor) (Tensor, error)
	// ControlNet evaluates a ControlNet once. It adds the scaled result to in.Rows rows of residuals, from in.FirstRow on, so
	// that several nets add up.
	ControlNet(ctx context.Context, in ControlInput, residuals []float32) error
	// Upscale enlarges pixels [N, 3, H, W] in [0, 1] to [N, 3, Scale*H, Scale*W], not clamped.
	Upscale(ctx context.Context, pixels Tensor) (Tensor, error)
	// Load loads components that are not in memory. They are named as in ComponentInfo; without names it loads all that were
	// opened. Nobody needs to call it: a computation loads what it uses. Cancelling ctx stops it at the next tensor.
	Load(ctx context.Context, components ...string) error
	// Unload frees components, without names all of them, and the compute buffers. It does so whatever their residency. A later
	// computation loads them again, and its results are the same bit for bit.
	Unload(components ...string) error
	// MemoryStats tells what the model holds.
	MemoryStats() MemoryStats
	// ResetMemoryPeaks sets the peaks of MemoryStats to what is held now.
	ResetMemoryPeaks()
	// ComputeBytes returns the exact size of the compute buffer that a stage would allocate. It loads no weights.
	ComputeBytes(q ComputeQuery) (int64, error)
	// ReleaseCompute frees the compute buffers, which are otherwise kept between calls.
	ReleaseCompute() error
	// Close frees the model, after a running call has ended. It may be called again. All other calls then return ErrClosed.
	Close() error
}
