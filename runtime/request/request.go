// Package request holds what a user asks for: one Request per job, the Model it runs on, and the Run
// file (TOML or JSON) that carries both. Everything here is plain data that can be checked in full
// before any weight is read; nothing here computes.
package request

import (
	"image"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

// RandomSeed as a Request's Seed, or any other negative number, has a seed drawn; it is reported with the result.
const RandomSeed = -1

// NoGuidance as a GuidanceScale turns classifier-free guidance off. (Zero means the default.)
const NoGuidance = 1

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

// Seamlesses lists the values of Request.Seamless.
var Seamlesses = []string{SeamlessNone, SeamlessX, SeamlessY, SeamlessBoth}

// The ways to read a prompt.
const (
	SyntaxA1111 = "a1111"
	SyntaxPlain = "plain"
)

// Precisions and Types list the values that Model's fields accept.
var (
	Precisions = []string{"auto", "exact", "f32", "f16", "bf16"}
	Types      = []string{"auto", "f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl"}
	switches   = []string{"auto", "on", "off"}
)

// RNGs lists the values of Request.RNG.
var RNGs = []string{"cpu", "gpu"}

// GuidanceBatches lists the values of Request.GuidanceBatch.
var GuidanceBatches = []string{GuidanceAuto, GuidanceJoint, GuidanceSeparate}

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

// Request is one job: a prompt and how to paint it. The zero value of every field but Prompt means
// the default told in its doc tag; Seed's zero is the seed 0. Start from Default to have what an empty run file
// means (a random seed). A Request is plain data: copy it freely, and share it between goroutines
// as long as nobody writes to it.
type Request struct {
	Prompt          string `key:"prompt"`
	Prompt2         string `key:"prompt_2" default:"prompt"`
	NegativePrompt  string `key:"negative_prompt"`
	NegativePrompt2 string `key:"negative_prompt_2" default:"negative_prompt"`

	PromptSyntax string `key:"prompt_syntax" default:"a1111"`

	ForceZerosForEmptyPrompt *bool `key:"force_zeros_for_empty_prompt" default:"the model's (SDXL base: true)"`

	Width     int `key:"width" default:"init_image's (and what outpaint adds), else the model's"`
	Height    int `key:"height" default:"init_image's (and what outpaint adds), else the model's"`
	NumImages int `key:"num_images" default:"1"`

	Seed              int64   `key:"seed" default:"-1"`
	RNG               string  `key:"rng" default:"cpu"`
	NumInferenceSteps int     `key:"num_inference_steps" default:"the model's, else 30"`
	GuidanceScale     float64 `key:"guidance_scale" default:"the model's, else 5.0"`
	GuidanceRescale   float64 `key:"guidance_rescale" default:"0.0"`

	Scheduler        string         `key:"scheduler" default:"the model's, else EulerDiscrete"`
	Sigmas           string         `key:"sigmas" default:"the scheduler's"`
	SchedulerOptions map[string]any `key:"scheduler_options" default:"the model's"`

	ClipSkip int `key:"clip_skip" default:"0"`

	OriginalSize               Size  `key:"original_size" default:"[height, width]"`
	CropsCoordsTopLeft         Point `key:"crops_coords_top_left" default:"[0, 0]"`
	TargetSize                 Size  `key:"target_size" default:"[height, width]"`
	NegativeOriginalSize       Size  `key:"negative_original_size" default:"original_size"`
	NegativeCropsCoordsTopLeft Point `key:"negative_crops_coords_top_left" default:"crops_coords_top_left, unless a negative size is given"`
	NegativeTargetSize         Size  `key:"negative_target_size" default:"target_size"`

	InitImage Picture `key:"init_image"`
	MaskImage Picture `key:"mask_image"`
	Strength  float64 `key:"strength" default:"0.3, with a mask 0.9999"`

	Outpaint Outpaint `key:"outpaint"`
	Hires    Hires    `key:"hires"`

	Seamless string `key:"seamless" default:"none"`

	Latents        Array   `key:"latents"`
	DenoisingStart float64 `key:"denoising_start" default:"0"`
	DenoisingEnd   float64 `key:"denoising_end" default:"1"`

	RefinerMode            string  `key:"refiner_mode" default:"ensemble"`
	RefinerStart           float64 `key:"refiner_start" default:"0.8"`
	RefinerStrength        float64 `key:"refiner_strength" default:"0.3"`
	RefinerSteps           int     `key:"refiner_steps" default:"num_inference_steps"`
	AestheticScore         float64 `key:"aesthetic_score" default:"6.0"`
	NegativeAestheticScore float64 `key:"negative_aesthetic_score" default:"2.5"`

	Noise Array `key:"noise"`

	LoRAs     []LoRA    `key:"lora" alias:"loras"`
	LoRAStack LoRAStack `key:"lora_stack"`

	ControlNets []ControlNet `key:"controlnet" alias:"controlnets"`

	MaxBatch      int    `key:"max_batch" default:"as many as make up one megapixel, at most 16"`
	GuidanceBatch string `key:"guidance_batch" default:"auto"`

	Output      string `key:"output" default:"the command's"`
	SaveLatents string `key:"save_latents"`
	Quality     int    `key:"quality" default:"90"`
	Metadata    *bool  `key:"metadata" default:"true"`
}

// Default is the Request of an empty run file: the zero value with a random seed.
func Default() Request { return Request{Seed: RandomSeed} }

// Model says which weights to run on and where. Its zero value is no model: a path is needed.
type Model struct {
	Model        string `key:"model"`
	UNet         string `key:"unet" default:"model's"`
	TextEncoder  string `key:"text_encoder" default:"model's"`
	TextEncoder2 string `key:"text_encoder_2" default:"model's"`
	VAE          string `key:"vae" default:"model's"`
	TAESD        string `key:"taesd"`
	FastDecode   *bool  `key:"fast_decode" default:"false"`
	Upscaler     string `key:"upscaler"`
	Refiner      string `key:"refiner"`

	Device     string `key:"device" default:"auto"`
	TextDevice string `key:"text_device" default:"device"`
	VAEDevice  string `key:"vae_device" default:"device"`

	Precision string `key:"precision" default:"auto"`
	Type      string `key:"type" default:"auto"`
	UNetType  string `key:"unet_type" default:"type"`
	TextType  string `key:"text_type" default:"type"`
	VAEType   string `key:"vae_type" default:"auto"`

	RefinerType     string `key:"refiner_type" default:"unet_type"`
	RefinerOnDemand *bool  `key:"refiner_on_demand" default:"false"`

	Threads        int    `key:"threads" default:"0"`
	FlashAttention string `key:"flash_attention" default:"auto"`

	VAETiling      string  `key:"vae_tiling" default:"auto"`
	VAETileSize    int     `key:"vae_tile_size" default:"448"`
	VAETileOverlap float64 `key:"vae_tile_overlap" default:"0.25"`
	VAESlicing     string  `key:"vae_slicing" default:"auto"`

	Embeddings           []string `key:"embeddings"`
	EmbeddingDirectories []string `key:"embedding_directories"`

	TextCacheMB int `key:"text_cache_mb" default:"64"`

	ControlNetCacheMB     int      `key:"controlnet_cache_mb" default:"8192"`
	ControlNetDirectories []string `key:"controlnet_directories"`
	Memory                Memory   `key:"memory"`

	LoRADirectories []string  `key:"lora_directories"`
	LoRACache       LoRACache `key:"lora_cache"`
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
}
