package bindings

// Sizes and the version from daguerre.h.
const (
	abiVersion     = 6    // DG_ABI_VERSION: the version these bindings were written for
	MaxLevels      = 8    // DG_MAX_LEVELS: array length of per-level fields
	nameLen        = 64   // DG_NAME_LEN: bytes of a [Name]
	descLen        = 256  // DG_DESC_LEN: bytes of a [Desc]
	maxFiles       = 4096 // DG_MAX_FILES: files of one model
	ComponentCount = 10   // DG_COMPONENT_COUNT: how many components there are
)

// The enums of daguerre.h. A value is the place of its name: DG_TYPE_F16 is 2, and Types[2] is "f16". Values are int32 in the structs.
var (
	Types = []string{"auto", "f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k",
		"iq4_nl"}
	Precisions = []string{"auto", "exact", "f32", "f16", "bf16"}
	Kinds      = []string{"unknown", "sdxl-base", "sdxl-refiner", "sdxl-inpaint", "vae", "text-encoder", "controlnet", "taesd", "upscaler",
		"image-encoder", "ip-adapter", "detector"}
	DeviceKinds = []string{"cpu", "gpu", "igpu", "accel"}
	LogLevels   = []string{"debug", "info", "warn", "error"}
	Residencies = []string{"resident", "on_demand", "stream", "mmap"} // the first is DG_RESIDENT_ALWAYS
	Flashes     = []string{"auto", "off", "on"}
	Convs       = []string{"auto", "im2col", "direct"}
	Keeps       = []string{"none", "deep", "text_attention"}
	FeatureUses = []string{"store", "mean", "reuse"}
	// ResidualPlaces are where an evaluation finds those of ControlNets.
	ResidualPlaces = []string{"none", "device", "host"}
	TrialKinds     = []string{"conv2d", "attention", "linear"}
	ModuleKinds    = []string{"linear", "conv2d", "norm", "embedding"}
	LoRAForms      = []string{"low_rank", "kron", "dense", "in_scale", "out_scale", "bias", "norm",
		"bias_scale", "in_low_rank", "out_rotate", "in_rotate"}
	// Activations are the values of the quick_gelu fields of [ModelConfig]; the first is the encoder's own default.
	Activations = []string{"", "quick_gelu", "gelu"}
	// Components are bits: the one at place i is 1 << i.
	Components = [ComponentCount]string{"text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder", "controlnet", "upscaler",
		"image_encoder", "ip_adapter", "detector"}
)

// StoredTypes are the types of weights that GGUF has no number for, with those of DG_STORED. Other weights are stored as a type of GGUF's.
var StoredTypes = map[string]int32{"f8_e4m3": 1000, "f8_e5m2": 1001}

// deviceCPU is the kind of the device that every library has.
const deviceCPU = 0
