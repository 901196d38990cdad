package bindings

// Sizes and the version from daguerre.h.
const (
	ABIVersion     = 3    // DG_ABI_VERSION: the version these bindings were written for
	MaxLevels      = 8    // DG_MAX_LEVELS: array length of per-level fields
	NameLen        = 64   // DG_NAME_LEN: bytes of a [Name]
	DescLen        = 256  // DG_DESC_LEN: bytes of a [Desc]
	MaxFiles       = 4096 // DG_MAX_FILES: files of one model
	ComponentCount = 7    // DG_COMPONENT_COUNT: bits of [Component]
)

// Type is a DG_TYPE: how weights are stored in memory. The values are the ABI's own, not ggml's.
type Type int32

// The weight types. TypeAuto keeps the file's or what the precision asks for.
const (
	TypeAuto   Type = 0
	TypeF32    Type = 1
	TypeF16    Type = 2
	TypeBF16   Type = 3
	TypeQ8_0   Type = 4
	TypeQ4_0   Type = 5
	TypeQ4_1   Type = 6
	TypeQ5_0   Type = 7
	TypeQ5_1   Type = 8
	TypeQ2_K   Type = 9
	TypeQ3_K   Type = 10
	TypeQ4_K   Type = 11
	TypeQ5_K   Type = 12
	TypeQ6_K   Type = 13
	TypeIQ4_NL Type = 14
	TypeCount       = 15 // DG_TYPE_COUNT
)

// Precision is a DG_PRECISION: the arithmetic around the weights.
type Precision int32

// The precisions. PrecisionExact is F32 throughout with erf GELU.
const (
	PrecisionAuto  Precision = 0
	PrecisionExact Precision = 1
	PrecisionF32   Precision = 2
	PrecisionF16   Precision = 3
	PrecisionBF16  Precision = 4
)

// StoredType is the type of a weight in a file: a number of GGUF's, or one of these.
type StoredType int32

// What files store and GGUF has no number for.
const (
	StoredF8E4M3 StoredType = 1000
	StoredF8E5M2 StoredType = 1001
)

// Component is a set of DG_COMPONENT bits: what to load. The position of a bit is the component's
// index in [ModelInfo.Components].
type Component int32

// The components of a model.
const (
	ComponentTextEncoder  Component = 1
	ComponentTextEncoder2 Component = 2
	ComponentUNet         Component = 4
	ComponentVAEEncoder   Component = 8
	ComponentVAEDecoder   Component = 16
	ComponentControlNet   Component = 32
	ComponentUpscaler     Component = 64
)

// Kind is a DG_KIND: what a checkpoint is.
type Kind int32

// The kinds of checkpoint.
const (
	KindUnknown     Kind = 0
	KindSDXLBase    Kind = 1
	KindSDXLRefiner Kind = 2
	KindSDXLInpaint Kind = 3
	KindVAE         Kind = 4
	KindTextEncoder Kind = 5
	KindControlNet  Kind = 6
	KindTAESD       Kind = 7
	KindUpscaler    Kind = 8
)

// DeviceKind is a DG_DEVICE: what a device is.
type DeviceKind int32

// The kinds of device.
const (
	DeviceCPU   DeviceKind = 0
	DeviceGPU   DeviceKind = 1
	DeviceIGPU  DeviceKind = 2
	DeviceAccel DeviceKind = 3
)

// LogLevel is a DG_LOG: the weight of a log line.
type LogLevel int32

// The log levels.
const (
	LogDebug LogLevel = 0
	LogInfo  LogLevel = 1
	LogWarn  LogLevel = 2
	LogError LogLevel = 3
)

// Residency is a DG_RESIDENT: where a component's weights are.
type Residency int32

// The residencies.
const (
	ResidentAlways   Residency = 0 // all in memory, loaded when the model is opened
	ResidentOnDemand Residency = 1 // from the first use or Load on, until Unload
	ResidentStream   Residency = 2 // through a window in every computation
	ResidentMmap     Residency = 3 // in the mapped file where its type is the wanted one
)

// Flash is a DG_FLASH: whether the UNet uses flash attention.
type Flash int32

// The flash-attention choices. FlashAuto uses it where the device has it.
const (
	FlashAuto Flash = 0
	FlashOff  Flash = 1
	FlashOn   Flash = 2
)

// Wrap holds DG_WRAP bits: the axes along which convolutions wrap around.
type Wrap int32

// The axes.
const (
	WrapNone Wrap = 0
	WrapX    Wrap = 1
	WrapY    Wrap = 2
)

// Stage is a DG_STAGE: a graph that [Model.ComputeSize] measures.
type Stage int32

// The stages.
const (
	StageText      Stage = 0
	StageText2     Stage = 1
	StageUNet      Stage = 2
	StageVAEEncode Stage = 3
	StageVAEDecode Stage = 4

	StageVAEDecodeMiddle Stage = 16
	StageVAEDecodeLevels Stage = 17
	StageVAEEncodeLevels Stage = 18
	StageVAEEncodeMiddle Stage = 19
	StageControl         Stage = 5
	StageControlHint     Stage = 6
	StageUpscale         Stage = 7
)

// Values of the quick_gelu fields of [ModelConfig]; zero is the encoder's own default.
const (
	ActivationDefault   = 0
	ActivationQuickGELU = 1
	ActivationGELU      = 2 // erf
)

// ModuleKind says what a module computes.
type ModuleKind int32

// The kinds of module.
const (
	ModuleLinear    ModuleKind = 0
	ModuleConv2D    ModuleKind = 1
	ModuleNorm      ModuleKind = 2
	ModuleEmbedding ModuleKind = 3
)

// LoRAForm says how a target's tensors make a change; see dg_lora_form.
type LoRAForm int32

// The forms.
const (
	LoRALowRank  LoRAForm = 0
	LoRAKron     LoRAForm = 1
	LoRADense    LoRAForm = 2
	LoRAInScale  LoRAForm = 3
	LoRAOutScale LoRAForm = 4
	LoRABias     LoRAForm = 5
	LoRANorm     LoRAForm = 6
)
