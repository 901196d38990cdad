package backend

import "slices"

// Type names how weights are stored, as ggml spells it, in lower case ("f16", "q8_0", "q4_k").
type Type string

// The types that a model can be opened with. TypeAuto keeps the file's type, or takes the one that the precision asks for.
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

// Precision names the arithmetic that weights are used in.
type Precision string

// The precisions. Exact is F32 everywhere, with the exact GELU. Auto is the fastest one whose pictures stay true on the device.
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

// The kinds that a backend can open.
const (
	KindUnknown     Kind = "unknown"
	KindSDXLBase    Kind = "sdxl-base"
	KindSDXLRefiner Kind = "sdxl-refiner"
	KindSDXLInpaint Kind = "sdxl-inpaint"
	KindVAE         Kind = "vae"
	KindTextEncoder Kind = "text-encoder"
	KindControlNet  Kind = "controlnet"
	KindTAESD       Kind = "taesd"    // encodes and decodes as a VAE does; its latents are in the UNet's own range
	KindUpscaler    Kind = "upscaler" // ESRGAN

	KindImageEncoder Kind = "image-encoder" // CLIP's, with its projection
	KindIPAdapter    Kind = "ip-adapter"
	KindDetector     Kind = "detector" // YOLOv8
)

// Files names the file of each component. Model is a checkpoint or a diffusers folder. Each of the next four, if it is set,
// replaces that component of the model.
type Files struct {
	Model        string
	UNet         string
	TextEncoder  string
	TextEncoder2 string
	VAE          string

	// Each of these is a model of its own. No other file is named with it.
	ControlNet string
	TAESD      string
	Upscaler   string

	ImageEncoder string
	IPAdapter    string

	Detector string
}

// NamedFile is a file of Files and what it is for: "model", or the component that it holds.
type NamedFile struct {
	Role, Path string
	Alone      bool // a model of its own
}

// Named lists the files that are set, the model's first.
func (f Files) Named() []NamedFile {
	return slices.DeleteFunc([]NamedFile{
		{"model", f.Model, false}, {"unet", f.UNet, false}, {"text_encoder", f.TextEncoder, false}, {"text_encoder_2", f.TextEncoder2, false},
		{"vae", f.VAE, false}, {"controlnet", f.ControlNet, true}, {"taesd", f.TAESD, true}, {"upscaler", f.Upscaler, true},
		{"image_encoder", f.ImageEncoder, true}, {"ip_adapter", f.IPAdapter, true}, {"detector", f.Detector, true},
	}, func(n NamedFile) bool { return n.Path == "" })
}

// ComponentNames are what models consist of, in the order of reports: SDXL's own, then those of other networks.
var ComponentNames = [...]string{"text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder", "controlnet", "upscaler",
	"image_encoder", "ip_adapter", "detector"}

// SDXLComponents is how many of ComponentNames are SDXL's own. A model that has none of the others says nothing of them.
const SDXLComponents = 5

// Hyper is what the weights do not show. Zero values mean SDXL's own.
type Hyper struct {
	UNetNormNumGroups    int
	VAENormNumGroups     int
	UNetAttentionHeadDim int
	TextHeadDim          int
	TextEncoderAct       string // "", "quick_gelu" or "gelu"
	TextEncoder2Act      string
	ImageHeadDim         int
	ImageEncoderAct      string
	XS                   XSHyper
}

// XSHyper is the same of a ControlNet-XS.
type XSHyper struct {
	Heads         [8]int // of each level; its weights do not show them, so they have to be given
	NormNumGroups int    // the most that a norm has
	BGR           bool   // pictures are seen as BGR
	TimeMix       float64
	TimeMixGiven  bool // TimeMix counts; otherwise it is 1
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
	Threads        int    // 0: one for each physical core
	FlashAttention string // "", "auto", "on", "off"
	Convolution    string // on devices other than the CPU: "", "auto", "im2col", "direct"

	// Where the weights are. The zero value means ResidencyResident. UNetResidency is also for ControlNets, upscalers and detectors.
	TextResidency Residency
	UNetResidency Residency
	VAEResidency  Residency
	// StreamBytes is the size of the window of each streamed component; 0: the backend chooses. If the largest layer does not
	// fit into it, Open says how large it must be.
	StreamBytes int64
	// AttentionSlicing computes attention in slices. It takes less memory and is a little slower. It matters only without flash
	// attention, which keeps no scores in memory.
	AttentionSlicing bool
	// Components names those to open, as ComponentInfo does; empty: all that the files hold.
	Components []string
	// WeightCache keeps weights that the CPU holds in another form than the files, for the next start. The zero value keeps none.
	WeightCache WeightCache
}

// WeightCache is a folder of converted weights. A file of it belongs to one component of one model, as the files are, on one build of the
// backend. It is mapped when the component is loaded again; the bits are the same. A folder that cannot be written to is no error.
type WeightCache struct {
	Folder     string // which exists; "": there is no cache
	LeastBytes int64  // that a component has to convert to be kept
	MostBytes  int64  // that a new file may have; negative: none is written
}

// Residency says when and where the weights of a component are in memory.
type Residency string

// The residencies, from the fastest to the smallest.
const (
	ResidencyResident Residency = "resident"  // all in memory, loaded at Open; the zero value "" means it too
	ResidencyOnDemand Residency = "on_demand" // all in memory from the first use, or Load, until Unload
	// ResidencyStream lets the weights pass through a window of StreamBytes in every computation. On the CPU they come from the
	// file, on other devices from host memory. Results are the same bit for bit. Open refuses a type that the weights would have
	// to be quantized to in every pass.
	ResidencyStream Residency = "stream"
	// ResidencyMmap maps the file and uses the tensors that have the wanted type where they are. It loads the others. It is for
	// the CPU; on another device it is ResidencyOnDemand. The files must not change while the model is open.
	ResidencyMmap Residency = "mmap"
)

// Residencies lists every value of Residency.
var Residencies = []Residency{ResidencyResident, ResidencyOnDemand, ResidencyStream, ResidencyMmap}
