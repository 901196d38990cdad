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

// RefinerModes lists the values of Request.RefinerMode.
var RefinerModes = []string{RefinerEnsemble, RefinerImg2Img, RefinerNone}

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

// PromptSyntaxes lists the values of Request.PromptSyntax.
var PromptSyntaxes = []string{SyntaxA1111, SyntaxPlain}

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
	Prompt          string `key:"prompt" doc:"what the picture shows; A1111 weights such as (word:1.2) and [word], BREAK, and any length"`
	Prompt2         string `key:"prompt_2" default:"prompt" doc:"prompt for the second text encoder"`
	NegativePrompt  string `key:"negative_prompt" doc:"what the picture must not show; used where guidance is on"`
	NegativePrompt2 string `key:"negative_prompt_2" default:"negative_prompt" doc:"negative prompt for the second text encoder"`

	PromptSyntax string `key:"prompt_syntax" default:"a1111" doc:"a1111: brackets weigh words, BREAK begins a new chunk, names of embeddings are replaced; plain: brackets and BREAK are text"`

	ForceZerosForEmptyPrompt *bool `key:"force_zeros_for_empty_prompt" default:"the model's (SDXL base: true)" doc:"an absent negative prompt is all zeros instead of the encoding of an empty text"`

	Width     int `key:"width" default:"init_image's (and what outpaint adds), else the model's" doc:"of the picture in pixels, a multiple of 8; of the first pass where hires has a second"`
	Height    int `key:"height" default:"init_image's (and what outpaint adds), else the model's" doc:"of the picture in pixels, a multiple of 8; of the first pass where hires has a second"`
	NumImages int `key:"num_images" default:"1" doc:"pictures to make, with the seeds seed, seed+1, ..."`

	Seed              int64   `key:"seed" default:"-1" doc:"of the first picture's noise; negative: drawn and reported"`
	RNG               string  `key:"rng" default:"cpu" doc:"cpu: torch's random numbers on a CPU, as diffusers and ComfyUI use; gpu: those on CUDA, as A1111 uses"`
	NumInferenceSteps int     `key:"num_inference_steps" default:"the model's, else 30" doc:"denoising steps, 1 to 1000"`
	GuidanceScale     float64 `key:"guidance_scale" default:"the model's, else 5.0" doc:"how closely to follow the prompt; 1 or less turns guidance off and halves the work"`
	GuidanceRescale   float64 `key:"guidance_rescale" default:"0.0" doc:"0 to 1: how far to bring the guided prediction back to the unguided one's contrast (section 3.4 of arXiv 2305.08891)"`

	Scheduler        string         `key:"scheduler" default:"the model's, else EulerDiscrete" doc:"sampling algorithm by name or alias"`
	Sigmas           string         `key:"sigmas" default:"the scheduler's" doc:"spacing of the noise levels, in a word: karras, exponential, beta, sgm_uniform, simple, ays, gits; scheduler_options go before it"`
	SchedulerOptions map[string]any `key:"scheduler_options" default:"the model's" doc:"table of the scheduler's own options, such as use_karras_sigmas or timestep_spacing"`

	ClipSkip int `key:"clip_skip" default:"0" doc:"text encoder layers to skip beyond SDXL's penultimate one, as diffusers counts them"`

	OriginalSize               Size  `key:"original_size" default:"[height, width]" doc:"SDXL size conditioning: size of the imagined original, [height, width]"`
	CropsCoordsTopLeft         Point `key:"crops_coords_top_left" default:"[0, 0]" doc:"SDXL size conditioning: where the imagined crop begins, [top, left]"`
	TargetSize                 Size  `key:"target_size" default:"[height, width]" doc:"SDXL size conditioning: size after the imagined crop, [height, width]"`
	NegativeOriginalSize       Size  `key:"negative_original_size" default:"original_size" doc:"original_size of the negative half of guidance"`
	NegativeCropsCoordsTopLeft Point `key:"negative_crops_coords_top_left" default:"crops_coords_top_left, unless a negative size is given" doc:"crops_coords_top_left of the negative half of guidance"`
	NegativeTargetSize         Size  `key:"negative_target_size" default:"target_size" doc:"target_size of the negative half of guidance"`

	InitImage Picture `key:"init_image" doc:"picture to start from (image-to-image), or to repaint where mask_image is given; scaled to width x height"`
	MaskImage Picture `key:"mask_image" doc:"inpainting: white is repainted, black is kept; needs init_image"`
	Strength  float64 `key:"strength" default:"0.3, with a mask 0.9999" doc:"how much of init_image to give up, above 0 to 1"`

	Outpaint Outpaint `key:"outpaint" doc:"make the picture larger than init_image and paint what is new; width and height are the enlarged picture's"`
	Hires    Hires    `key:"hires" doc:"second pass at a larger size (hires fix)"`

	Seamless string `key:"seamless" default:"none" doc:"x, y or both: the picture continues across its left and right, upper and lower, or all borders, as a tile of a pattern"`

	Latents        Array   `key:"latents" doc:".npy file of latents to start from instead of init_image, [num_images or 1, 4, height/8, width/8], as save_latents writes them"`
	DenoisingStart float64 `key:"denoising_start" default:"0" doc:"0 to 1: the part of the schedule that another run has done; the latents, or those of init_image, are taken with the noise they have"`
	DenoisingEnd   float64 `key:"denoising_end" default:"1" doc:"0 to 1: stop here with noise left, for another run to continue with save_latents and denoising_start"`

	RefinerMode            string  `key:"refiner_mode" default:"ensemble" doc:"ensemble: the refiner takes over at refiner_start; img2img: it repaints what the base has finished; none: leave it out"`
	RefinerStart           float64 `key:"refiner_start" default:"0.8" doc:"0 to 1: the part of the schedule after which the refiner takes over (diffusers' high_noise_frac)"`
	RefinerStrength        float64 `key:"refiner_strength" default:"0.3" doc:"of refiner_mode img2img: how much of the base's picture to give up, above 0 to 1"`
	RefinerSteps           int     `key:"refiner_steps" default:"num_inference_steps" doc:"steps of the refiner's whole schedule, of which it makes the end"`
	AestheticScore         float64 `key:"aesthetic_score" default:"6.0" doc:"what the refiner is told of the picture's beauty, 0 to 10"`
	NegativeAestheticScore float64 `key:"negative_aesthetic_score" default:"2.5" doc:"aesthetic_score of the negative half of guidance"`

	Noise Array `key:"noise" doc:".npy file of the initial noise, [num_images or 1, 4, height/8, width/8], standard normal, instead of seed's"`

	LoRAs     []lora.Adapter `key:"lora" alias:"loras" doc:"adapters, one [[lora]] table for each"`
	LoRAStack lora.Options   `key:"lora_stack" doc:"what the adapters have in common"`

	ControlNets []ControlNet `key:"controlnet" alias:"controlnets" doc:"nets that a picture controls, one [[controlnet]] table for each"`

	MaxBatch      int    `key:"max_batch" default:"as many as make up one megapixel, at most 16" doc:"most pictures in one batch, and what the first has where they fit; the pictures do not depend on it"`
	GuidanceBatch string `key:"guidance_batch" default:"auto" doc:"joint: both halves of guidance in one evaluation; separate: one after the other, in less memory"`

	Output      string `key:"output" default:"the command's" doc:"file to write, .png, .jpg or .webp; may contain patterns"`
	SaveLatents string `key:"save_latents" doc:".npy file to write the final latents to, as the scheduler left them"`
	Quality     int    `key:"quality" default:"90" doc:"of JPEG, 1 to 100; PNG and WebP are lossless"`
	Metadata    *bool  `key:"metadata" default:"true" doc:"write the generation parameters and a JSON manifest into PNG files"`
}

// Default is the Request of an empty run file: the zero value with a random seed.
func Default() Request { return Request{Seed: RandomSeed} }

// Model says which weights to run on and where. Its zero value is no model: a path is needed.
type Model struct {
	Model        string `key:"model" doc:"checkpoint file (.safetensors, .gguf, .ckpt) or diffusers folder; nano is the embedded demo model"`
	UNet         string `key:"unet" default:"model's" doc:"file that replaces the UNet"`
	TextEncoder  string `key:"text_encoder" default:"model's" doc:"file that replaces the first text encoder (CLIP ViT-L)"`
	TextEncoder2 string `key:"text_encoder_2" default:"model's" doc:"file that replaces the second text encoder (OpenCLIP ViT-bigG)"`
	VAE          string `key:"vae" default:"model's" doc:"file that replaces the VAE"`
	TAESD        string `key:"taesd" doc:"TAESD-XL, a tiny autoencoder, for previews and fast_decode"`
	FastDecode   *bool  `key:"fast_decode" default:"false" doc:"decode pictures with taesd instead of the VAE: a small part of the time, less detail"`
	Upscaler     string `key:"upscaler" doc:"ESRGAN model that hires enlarges with"`
	Refiner      string `key:"refiner" doc:"SDXL refiner, or another SDXL base checkpoint, that continues or repaints what model made"`

	Device     string `key:"device" default:"auto" doc:"what to compute on: auto, cpu, vulkan:0, cuda:0, ..."`
	TextDevice string `key:"text_device" default:"device" doc:"where the text encoders run"`
	VAEDevice  string `key:"vae_device" default:"device" doc:"where the VAE runs"`

	Precision string `key:"precision" default:"auto" doc:"arithmetic: auto, exact, f32, f16, bf16"`
	Type      string `key:"type" default:"auto" doc:"weights in memory: auto, f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_k ... q6_k, iq4_nl"`
	UNetType  string `key:"unet_type" default:"type" doc:"type of the UNet's weights"`
	TextType  string `key:"text_type" default:"type" doc:"type of the text encoders' weights"`
	VAEType   string `key:"vae_type" default:"auto" doc:"type of the VAE's weights"`

	RefinerType     string `key:"refiner_type" default:"unet_type" doc:"type of the refiner's UNet's weights"`
	RefinerOnDemand *bool  `key:"refiner_on_demand" default:"false" doc:"open the refiner when its turn comes and close it after the job, instead of keeping it in memory"`

	Threads        int    `key:"threads" default:"0" doc:"CPU threads; 0: all physical cores"`
	FlashAttention string `key:"flash_attention" default:"auto" doc:"auto, on or off"`

	VAETiling      string  `key:"vae_tiling" default:"auto" doc:"pictures through the VAE by tiles: on, off, or auto: where one takes more than 4 GiB undivided (docs/vae.md)"`
	VAETileSize    int     `key:"vae_tile_size" default:"448" doc:"largest tile, in pixels a side"`
	VAETileOverlap float64 `key:"vae_tile_overlap" default:"0.25" doc:"share of a tile that it has in common with its neighbour, above 0 to 0.5"`
	VAESlicing     string  `key:"vae_slicing" default:"auto" doc:"one picture of a batch at a time through the VAE (on), all at once (off), or as many as are computed side by side (auto): one, but for models as small as nano"`

	Embeddings           []string `key:"embeddings" doc:"textual-inversion files; the word is the file's name without its extension"`
	EmbeddingDirectories []string `key:"embedding_directories" doc:"folders whose textual-inversion files are loaded when a prompt names them"`

	TextCacheMB int `key:"text_cache_mb" default:"64" doc:"MiB of encoded prompts kept between jobs, so that a prompt used again needs no text encoder; -1: none"`

	ControlNetCacheMB     int      `key:"controlnet_cache_mb" default:"8192" doc:"MiB of weights that ControlNets may hold between jobs and within one"`
	ControlNetDirectories []string `key:"controlnet_directories" doc:"folders in which ControlNets are looked up by name, with all folders below them"`
	Memory                Memory   `key:"memory" doc:"how much memory may be taken, and how"`

	LoRADirectories []string         `key:"lora_directories" doc:"folders in which adapters are looked up by name, with all folders below them"`
	LoRACache       lora.CacheConfig `key:"lora_cache" doc:"limits of the adapters that stay in memory"`
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
