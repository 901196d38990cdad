// Package request holds what a user asks for: one Request per job, the Model it runs on, and the Run
// file (TOML or JSON) that carries both. Everything here is plain data that can be checked in full
// before any weight is read; nothing here computes.
package request

import (
	"image"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

// RandomSeed as a Request's Seed, or any other negative number, has a seed drawn, which the result reports. It is what a
// run file without a seed means, and what Default sets; the zero value of Seed is the seed 0.
const RandomSeed = -1

// NoGuidance as a GuidanceScale turns classifier-free guidance off; 0 means the default.
const NoGuidance = 1

// NoPrompt as a Prompt asks for a picture without one: an empty text is encoded. A zero Prompt is a mistake, since most that is forgotten
// is forgotten unawares. An empty text that a run file or flag gives means NoPrompt.
const NoPrompt = " "

// The values that stand for a zero field.
const (
	DefaultNumInferenceSteps = 30
	DefaultGuidanceScale     = 5.0    // StableDiffusionXLPipeline's
	DefaultStrength          = 0.3    // StableDiffusionXLImg2ImgPipeline's
	DefaultInpaintStrength   = 0.9999 // StableDiffusionXLInpaintPipeline's
	DefaultScheduler         = "EulerDiscrete"
	DefaultRefinerStart      = 0.8
	DefaultRefinerStrength   = 0.3
	DefaultAestheticScore    = 6.0 // of the refiner's StableDiffusionXLImg2ImgPipeline, like the next
	DefaultNegativeAesthetic = 2.5
	DefaultQuality           = 90
)

// The ways to evaluate the two halves of classifier-free guidance.
const (
	GuidanceAuto     = "auto"     // joint
	GuidanceJoint    = "joint"    // one evaluation of 2N
	GuidanceSeparate = "separate" // two evaluations of N: slower, with a smaller compute buffer
)

// What a refiner does, where the model has one.
const (
	RefinerEnsemble = "ensemble" // continues the base's latents from RefinerStart on
	RefinerImg2Img  = "img2img"  // repaints the base's finished latents with RefinerStrength
	RefinerNone     = "none"
)

// The axes along which a picture may be seamless.
const (
	SeamlessNone = "none"
	SeamlessX    = "x"
	SeamlessY    = "y"
	SeamlessBoth = "both"
)

// The ways to read a prompt.
const (
	SyntaxA1111   = "a1111"
	SyntaxPlain   = "plain"
	SyntaxComfyUI = "comfyui"
)

// Precisions lists the values that Model.Precision accepts.
var Precisions = known.Words["precisions"]

// Types lists the values that the types of Model accept.
var Types = known.Words["types"]

// Size is a picture's size in pixels, written [height, width] in files, in diffusers' order.
type Size struct{ Height, Width int }

// Point is a place in a picture in pixels, written [top, left] in files, in diffusers' order.
type Point struct{ Top, Left int }

// Picture is an input picture: a file (PNG, JPEG, GIF or WebP), the bytes of one, or one already in memory. The last of
// these that is given counts. In run files it is a path, or a data URL with the bytes in base64.
type Picture struct {
	Path  string
	Data  []byte
	Image image.Image
}

// IsZero reports whether no picture is given.
func (p Picture) IsZero() bool { return p.Path == "" && p.Data == nil && p.Image == nil }

// Array is an input tensor: a .npy file, or values already in memory, which have precedence. In
// files it is a path.
type Array struct {
	Path  string
	Shape []int
	Data  []float32 // last index fastest
}

// IsZero reports whether no array is given.
func (a Array) IsZero() bool { return a.Path == "" && a.Data == nil }

// Request is one job: a prompt and how to paint it. A zero field means what its default tag says, and so does a missing key of a run
// file. There are two exceptions. A zero Seed is the seed 0, but a run file without a seed gets a random one; [Default] returns a Request
// as an empty run file has it. And a GuidanceScale of 0 is the default, but guidance_scale = 0 in a run file is NoGuidance.
//
// keys.json tells more of each key, and Keys returns it. A Request is plain data: copy it freely, and share it
// between goroutines as long as nobody writes to it.
type Request struct {
	Prompt          string `key:"prompt"`                                      // what the picture shows; NoPrompt: nothing is said
	Prompt2         string `key:"prompt_2" default:"prompt"`                   // for the second text encoder
	NegativePrompt  string `key:"negative_prompt"`                             // what the picture must not show
	NegativePrompt2 string `key:"negative_prompt_2" default:"negative_prompt"` // for the second text encoder

	PromptSyntax string   `key:"prompt_syntax" default:"a1111"` // SyntaxA1111, SyntaxComfyUI or SyntaxPlain
	Styles       []string `key:"styles"`                        // names in Model.StyleFiles
	PromptFile   string   `key:"prompt_file"`                   // of prompts, a job for each line

	ForceZerosForEmptyPrompt *bool `key:"force_zeros_for_empty_prompt" default:"the model's (SDXL base: true)"` // instead of an empty text

	Width     int `key:"width" default:"init_image's (and what outpaint adds), else the model's"`  // in pixels, a multiple of 8
	Height    int `key:"height" default:"init_image's (and what outpaint adds), else the model's"` // in pixels, a multiple of 8
	NumImages int `key:"num_images" default:"1"`                                                   // with the seeds Seed, Seed+1, ...

	Seed              int64   `key:"seed" default:"-1"`                                  // 0 is the seed 0; RandomSeed: drawn
	RNG               string  `key:"rng" default:"cpu"`                                  // cpu or gpu
	NumInferenceSteps int     `key:"num_inference_steps" default:"the model's, else 30"` // 1 to MaxSteps
	GuidanceScale     float64 `key:"guidance_scale" default:"the model's, else 5.0"`     // NoGuidance: none
	GuidanceRescale   float64 `key:"guidance_rescale" default:"0.0"`                     // 0 to 1

	Guidance      Guidance `key:"guidance"`                     // how the halves are combined
	PAG           PAG      `key:"pag"`                          // perturbed-attention guidance
	SEG           SEG      `key:"seg"`                          // smoothed energy guidance
	FreeU         FreeU    `key:"freeu"`                        // weaker skips, stronger backbone
	GuidanceStart float64  `key:"guidance_start" default:"0.0"` // part of the steps before which there is no guidance
	GuidanceStop  *float64 `key:"guidance_stop" default:"1.0"`  // part of the steps from which on there is none
	Reuse         Reuse    `key:"reuse"`                        // fewer evaluations of the UNet, for nearly the same picture

	Scheduler        string         `key:"scheduler" default:"the model's, else EulerDiscrete"` // by name or alias
	Sigmas           string         `key:"sigmas" default:"the scheduler's"`                    // spacing of the noise levels, in a word
	SchedulerOptions map[string]any `key:"scheduler_options" default:"the model's"`             // the scheduler's own options

	ClipSkip int `key:"clip_skip" default:"0"` // layers beyond the penultimate one

	OriginalSize               Size  `key:"original_size" default:"[height, width]"` // size conditioning
	CropsCoordsTopLeft         Point `key:"crops_coords_top_left" default:"[0, 0]"`  // size conditioning
	TargetSize                 Size  `key:"target_size" default:"[height, width]"`   // size conditioning
	NegativeOriginalSize       Size  `key:"negative_original_size" default:"original_size"`
	NegativeCropsCoordsTopLeft Point `key:"negative_crops_coords_top_left" default:"crops_coords_top_left, or [0, 0]"`
	NegativeTargetSize         Size  `key:"negative_target_size" default:"target_size"`

	InitImage   Picture `key:"init_image"`                                 // to start from, or to repaint
	MaskImage   Picture `key:"mask_image"`                                 // white is repainted
	MaskChannel string  `key:"mask_channel" default:"auto"`                // auto, luma or alpha
	Strength    float64 `key:"strength" default:"0.3, with a mask 0.9999"` // how much may change

	Inpaint  Inpaint  `key:"inpaint"`  // how the masked part is repainted
	Outpaint Outpaint `key:"outpaint"` // larger than InitImage
	Hires    Hires    `key:"hires"`    // second pass at a larger size

	TiledDiffusion TiledDiffusion `key:"tiled_diffusion"` // the UNet works on tiles

	Seamless string `key:"seamless" default:"none"` // SeamlessNone, SeamlessX, SeamlessY, SeamlessBoth

	Latents        Array   `key:"latents"`                     // to start from instead of InitImage
	DenoisingStart float64 `key:"denoising_start" default:"0"` // part of the schedule that is done
	DenoisingEnd   float64 `key:"denoising_end" default:"1"`   // part of the schedule to stop at

	RefinerMode            string  `key:"refiner_mode" default:"ensemble"`             // RefinerEnsemble, RefinerImg2Img, RefinerNone
	RefinerStart           float64 `key:"refiner_start" default:"0.8"`                 // part of the schedule
	RefinerStrength        float64 `key:"refiner_strength" default:"0.3"`              // of RefinerImg2Img
	RefinerSteps           int     `key:"refiner_steps" default:"num_inference_steps"` // of the refiner's whole schedule
	AestheticScore         float64 `key:"aesthetic_score" default:"6.0"`               // 0 to 10
	NegativeAestheticScore float64 `key:"negative_aesthetic_score" default:"2.5"`      // 0 to 10

	Noise Array `key:"noise"` // instead of Seed's

	LoRAs     []lora.Adapter `key:"lora" alias:"loras"` // adapters
	LoRAStack lora.Options   `key:"lora_stack"`         // what the adapters have in common

	ControlNets []ControlNet `key:"controlnet" alias:"controlnets"` // nets that a picture controls

	IPAdapters []IPAdapter `key:"ip_adapter" alias:"ip_adapters"` // adapters that are shown pictures

	Regions      []Region `key:"region" alias:"regions"`       // parts of the picture with prompts of their own
	Details      []Detail `key:"detail" alias:"details"`       // parts of the finished picture that are painted again
	PromptWeight float64  `key:"prompt_weight" default:"0.0"`  // how much Prompt counts within regions
	RegionMode   string   `key:"region_mode" default:"latent"` // RegionLatent, RegionAttention

	MaxBatch      int    `key:"max_batch" default:"as many as make up one megapixel, at most 16"` // the largest batch
	GuidanceBatch string `key:"guidance_batch" default:"auto"`                                    // GuidanceAuto, GuidanceJoint, GuidanceSeparate

	Output      string `key:"output" default:"the command's"` // file to write
	SaveLatents string `key:"save_latents"`                   // .npy file to write
	Quality     int    `key:"quality" default:"90"`           // of JPEG, 1 to 100
	Metadata    *bool  `key:"metadata" default:"true"`        // write parameters and manifest into PNG files
}

// Default is the Request of an empty run file: the zero value, but with RandomSeed.
func Default() Request { return Request{Seed: RandomSeed} }

// Model says which weights to run on and where. Its zero value is no model: a path is needed. A zero field of another
// means what its default tag says, as a key that is left out does.
type Model struct {
	Model        string `key:"model"`                            // checkpoint file, diffusers folder or "nano"
	UNet         string `key:"unet" default:"model's"`           // file
	TextEncoder  string `key:"text_encoder" default:"model's"`   // file
	TextEncoder2 string `key:"text_encoder_2" default:"model's"` // file
	VAE          string `key:"vae" default:"model's"`            // file
	TAESD        string `key:"taesd"`                            // file, for previews and FastDecode
	FastDecode   *bool  `key:"fast_decode" default:"false"`      // with TAESD instead of the VAE
	Upscaler     string `key:"upscaler"`                         // file, that hires enlarges with
	Refiner      string `key:"refiner"`                          // file
	ImageEncoder string `key:"image_encoder"`                    // file, for IP-Adapters

	Device     string `key:"device" default:"auto"` // to compute on
	TextDevice string `key:"text_device" default:"device"`
	VAEDevice  string `key:"vae_device" default:"device"`

	Precision string `key:"precision" default:"auto"` // of Precisions
	Type      string `key:"type" default:"auto"`      // of Types: weights in memory
	UNetType  string `key:"unet_type" default:"type"`
	TextType  string `key:"text_type" default:"type"`
	VAEType   string `key:"vae_type" default:"auto"`

	RefinerType     string `key:"refiner_type" default:"unet_type"`
	RefinerOnDemand *bool  `key:"refiner_on_demand" default:"false"`

	Threads        int    `key:"threads" default:"0"`            // 0: all physical cores
	FlashAttention string `key:"flash_attention" default:"auto"` // auto, on or off
	Convolution    string `key:"convolution" default:"auto"`     // auto, im2col or direct

	VAETiling      string  `key:"vae_tiling" default:"auto"`       // auto, on or off
	VAETileSize    int     `key:"vae_tile_size" default:"448"`     // pixels a side
	VAETileOverlap float64 `key:"vae_tile_overlap" default:"0.25"` // share of a tile
	VAESlicing     string  `key:"vae_slicing" default:"auto"`      // auto, on or off

	Embeddings           []string `key:"embeddings"`            // textual-inversion files
	EmbeddingDirectories []string `key:"embedding_directories"` // searched when a prompt names one

	WildcardDirectories []string `key:"wildcard_directories"` // of text files, for __name__ in prompts
	StyleFiles          []string `key:"style_files"`          // in the form of A1111's styles.csv

	TextCacheMB int `key:"text_cache_mb" default:"64"` // -1: none

	WeightCacheMB int `key:"weight_cache_mb" default:"16384"` // on the disk; -1: none

	ControlNetCacheMB     int      `key:"controlnet_cache_mb" default:"8192"` // MiB
	ControlNetDirectories []string `key:"controlnet_directories"`             // searched by name
	IPAdapterDirectories  []string `key:"ip_adapter_directories"`             // searched by name
	Memory                Memory   `key:"memory"`                             // how much may be taken

	ModelDirectories []string `key:"model_directories"` // searched by name

	LoRADirectories []string         `key:"lora_directories"` // searched by name
	LoRACache       lora.CacheConfig `key:"lora_cache"`       // limits
}

// Run is a run file: a model and the jobs to do on it.
type Run struct {
	Model Model
	Jobs  []Request // in the file's order, each complete with the file's top-level defaults

	Casing Casing   // of the keys that it was decoded from; "" where they do not show one
	Notes  []string // what was left out although it was written, with the reason

	// given[i] holds the keys written in job i itself; nil where there are no [[job]] tables.
	given   []map[string]bool
	spelled spelling
	flags   map[string]string // by key: what Typed told
	faulty  bool              // decoding it found mistakes
}
