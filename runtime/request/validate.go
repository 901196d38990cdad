package request

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/daguerre-go/daguerre/internal/words"
)

// The limits of a request. They are far above what any SDXL model can use and keep sums of sizes within range.
const (
	MaxSide        = 16384     // pixels
	MaxPixels      = 64 << 20  // of one picture
	MaxSteps       = 1000      // SDXL was trained on this many noise levels
	MaxImages      = 10000     // per request
	MaxPromptBytes = 64 << 10  // about 12,000 words
	MaxGuidance    = 1000      //
	MaxClipSkip    = 30        // the second text encoder has 32 layers
	MaxCoordinate  = 1_000_000 // pixels, of size conditioning

	MinVAETile        = 256 // pixels: less than what the VAE sees around a pixel, and tiles would show
	MaxVAETileOverlap = 0.5 // of a tile
)

// Precisions and Types list the names Model's fields accept.
var (
	Precisions = []string{"auto", "exact", "f32", "f16", "bf16"}
	Types      = []string{"auto", "f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl"}
	Switches   = []string{"auto", "on", "off"}
)

var deviceName = regexp.MustCompile(`^(auto|[a-z]{2,16}(:[0-9]{1,3})?)$`)

// Validate checks every field and returns all that is wrong as Errors, or nil. It reads no file and
// does not know the model; the pipeline checks what depends on either.
func (r Request) Validate() error {
	var errs Errors
	r.validate(&errs, func(key string) string { return key })
	return errs.Err()
}

// Validate checks every field and returns all that is wrong as Errors, or nil. It reads no file.
func (m Model) Validate() error {
	var errs Errors
	m.validate(&errs, "")
	return errs.Err()
}

// Validate checks the model and all jobs and returns all that is wrong as Errors, or nil. A path is
// that of the place where the value was written: "width" for a top-level default, "jobs[1].width" for a job's own.
func (r Run) Validate() error {
	var errs Errors
	r.Model.validate(&errs, "model.")
	for i := range errs {
		errs[i].Path = r.spelled.path(errs[i].Path, r.Casing)
	}
	return r.validateJobs(errs)
}

// ValidateJobs is Validate for a run whose model comes from elsewhere: a zero Model is right, too.
func (r Run) ValidateJobs() error {
	if reflect.ValueOf(r.Model).IsZero() {
		return r.validateJobs(nil)
	}
	return r.Validate()
}

func (r Run) validateJobs(errs Errors) error {
	if len(r.Jobs) == 0 {
		errs.Add("jobs", "there are none; a run has at least one")
	}
	for i, job := range r.Jobs {
		job.validate(&errs, func(key string) string { return r.Path(i, key) })
	}
	return errs.Err()
}

// Path tells where job i's value of key was written: "jobs[1].width", or "width" for one that comes from the
// file's top level or belongs to the only job. Keys are spelled as they were: "jobs[1].cfgScale" for a guidance_scale.
func (r Run) Path(i int, key string) string {
	root, _, _ := strings.Cut(key, ".")
	root, _, _ = strings.Cut(root, "[") // lora of lora[1].weight
	fromTop := i < len(r.given) && !r.given[i][root]
	if fromTop || len(r.Jobs) == 1 && r.given == nil {
		return r.spelled.path(key, r.Casing)
	}
	return r.spelled.path(fmt.Sprintf("jobs[%d].%s", i, key), r.Casing)
}

// checker adds errors for one request; at turns a key into its path.
type checker struct {
	errs *Errors
	at   func(key string) string
}

func (r Request) validate(errs *Errors, at func(string) string) {
	c := checker{errs, at}
	c.text("prompt", r.Prompt)
	c.text("prompt_2", r.Prompt2)
	c.text("negative_prompt", r.NegativePrompt)
	c.text("negative_prompt_2", r.NegativePrompt2)
	c.oneOf("prompt_syntax", r.PromptSyntax, PromptSyntaxes)
	c.side("width", r.Width)
	c.side("height", r.Height)
	if r.Width > 0 && r.Width <= MaxSide && r.Height > 0 && r.Height <= MaxSide && r.Width*r.Height > MaxPixels {
		c.fail("width", "%d x %d is %d million pixels; at most %d are possible", r.Width, r.Height, r.Width*r.Height>>20, MaxPixels>>20)
	}
	c.between("num_images", r.NumImages, 0, MaxImages)
	if n := int64(max(r.NumImages, 1)); r.Seed > math.MaxInt64-n {
		c.fail("seed", "%d leaves no room for seed+%d; use a smaller one", r.Seed, n-1)
	}
	c.oneOf("rng", r.RNG, RNGs)
	c.between("num_inference_steps", r.NumInferenceSteps, 0, MaxSteps)
	c.real("guidance_scale", r.GuidanceScale, 0, MaxGuidance)
	c.real("guidance_rescale", r.GuidanceRescale, 0, 1)
	c.name("scheduler", r.Scheduler)
	c.between("clip_skip", r.ClipSkip, 0, MaxClipSkip)
	c.size("original_size", r.OriginalSize)
	c.point("crops_coords_top_left", r.CropsCoordsTopLeft)
	c.size("target_size", r.TargetSize)
	c.size("negative_original_size", r.NegativeOriginalSize)
	c.point("negative_crops_coords_top_left", r.NegativeCropsCoordsTopLeft)
	c.size("negative_target_size", r.NegativeTargetSize)
	r.validateInputs(c)
	c.loras(r.Stack().Validate())
	r.validateControlNets(c)
	r.validateRefiner(c)
	c.oneOf("seamless", r.Seamless, Seamlesses)
	r.validateOutpaint(c)
	r.validateHires(c)
	c.between("max_batch", r.MaxBatch, 0, MaxImages)
	c.oneOf("guidance_batch", r.GuidanceBatch, GuidanceBatches)
	c.path("output", r.Output)
	c.path("save_latents", r.SaveLatents)
	c.between("quality", r.Quality, 0, 100)
}

func (r Request) validateInputs(c checker) {
	c.path("init_image", r.InitImage.Path)
	c.path("mask_image", r.MaskImage.Path)
	c.path("noise", r.Noise.Path)
	c.path("latents", r.Latents.Path)
	r.validateLatents(c)
	if !r.MaskImage.IsZero() && r.InitImage.IsZero() {
		c.fail("mask_image", "there is no init_image to mask; give one")
	}
	c.real("strength", r.Strength, 0, 1)
	if r.Strength != 0 && r.InitImage.IsZero() && r.Latents.IsZero() {
		c.fail("strength", "there is no init_image it could apply to; give one, or leave strength out")
	}
	c.array("noise", r.Noise)
	c.array("latents", r.Latents)
}

// validateLatents checks what runs in parts: latents from an earlier one, and where this one begins and ends.
func (r Request) validateLatents(c checker) {
	if !r.Latents.IsZero() && !r.InitImage.IsZero() {
		c.fail("latents", "are given beside init_image; leave one of them out")
	}
	c.fraction("denoising_start", r.DenoisingStart)
	c.fraction("denoising_end", r.DenoisingEnd)
	if r.DenoisingStart > 0 && r.DenoisingEnd > 0 && r.DenoisingStart >= r.DenoisingEnd {
		c.fail("denoising_start", "is %v; it must be below denoising_end (%v)", r.DenoisingStart, r.DenoisingEnd)
	}
	if r.DenoisingStart > 0 && r.Latents.IsZero() && r.InitImage.IsZero() {
		c.fail("denoising_start", "there is nothing to continue from; give latents, or an init_image")
	}
	if r.DenoisingStart > 0 && r.Strength > 0 {
		c.fail("denoising_start", "is given beside strength; both say where to begin: leave one of them out")
	}
}

func (r Request) validateRefiner(c checker) {
	c.oneOf("refiner_mode", r.RefinerMode, RefinerModes)
	c.fraction("refiner_start", r.RefinerStart)
	c.real("refiner_strength", r.RefinerStrength, 0, 1)
	c.between("refiner_steps", r.RefinerSteps, 0, MaxSteps)
	c.real("aesthetic_score", r.AestheticScore, 0, 10)
	c.real("negative_aesthetic_score", r.NegativeAestheticScore, 0, 10)
	if r.RefinerMode == RefinerImg2Img || r.RefinerStart == 0 {
		return
	}
	if r.DenoisingStart >= r.RefinerStart {
		c.fail("refiner_start", "is %v, which denoising_start (%v) has passed already", r.RefinerStart, r.DenoisingStart)
	}
	if r.DenoisingEnd > 0 && r.DenoisingEnd <= r.RefinerStart {
		c.fail("refiner_start", "is %v, which denoising_end (%v) never reaches", r.RefinerStart, r.DenoisingEnd)
	}
}

// array checks values that are in memory; a file's are checked when it is read.
func (c checker) array(key string, a Array) {
	if a.Data == nil {
		return
	}
	count := 1
	for _, d := range a.Shape {
		if d <= 0 || count > MaxImages*MaxPixels/d {
			c.fail(key, "shape %v is impossible", a.Shape)
			return
		}
		count *= d
	}
	if count != len(a.Data) {
		c.fail(key, "shape %v has %d values, not the %d given", a.Shape, count, len(a.Data))
	}
	if i := slices.IndexFunc(a.Data, func(x float32) bool { return math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) }); i >= 0 {
		c.fail(key, "value %d is %v; all must be finite", i, a.Data[i])
	}
}

// fraction checks a part of the schedule: 0 (not given) or less than the whole.
func (c checker) fraction(key string, x float64) {
	if math.IsNaN(x) || x < 0 || x >= 1 {
		c.fail(key, "is %v; it must be above 0 and below 1, or left out", x)
	}
}

func (m Model) validate(errs *Errors, prefix string) {
	c := checker{errs, func(key string) string { return prefix + key }}
	if strings.TrimSpace(m.Model) == "" && m.UNet == "" {
		c.fail("model", "is missing; give a checkpoint, a diffusers folder, or nano for the embedded demo model")
	}
	for _, f := range []struct{ key, path string }{{"model", m.Model}, {"unet", m.UNet}, {"text_encoder", m.TextEncoder},
		{"text_encoder_2", m.TextEncoder2}, {"vae", m.VAE}, {"refiner", m.Refiner}, {"taesd", m.TAESD}, {"upscaler", m.Upscaler}} {
		c.path(f.key, f.path)
	}
	for _, f := range []struct{ key, device string }{{"device", m.Device}, {"text_device", m.TextDevice}, {"vae_device", m.VAEDevice}} {
		if f.device != "" && !deviceName.MatchString(f.device) {
			c.fail(f.key, "%s is no device; expected auto, cpu, vulkan:0, cuda:0, ... (see `daguerre devices`)", clip(f.device))
		}
	}
	c.oneOf("precision", m.Precision, Precisions)
	c.oneOf("type", m.Type, Types)
	c.oneOf("unet_type", m.UNetType, Types)
	c.oneOf("text_type", m.TextType, Types)
	c.oneOf("vae_type", m.VAEType, Types)
	c.oneOf("refiner_type", m.RefinerType, Types)
	if m.FastDecode != nil && *m.FastDecode && m.TAESD == "" {
		c.fail("fast_decode", "is on, and there is no taesd to decode with; name its file")
	}
	c.oneOf("vae_tiling", m.VAETiling, Switches)
	if m.VAETileSize != 0 {
		c.between("vae_tile_size", m.VAETileSize, MinVAETile, MaxSide)
	}
	c.real("vae_tile_overlap", m.VAETileOverlap, 0, MaxVAETileOverlap)
	c.oneOf("vae_slicing", m.VAESlicing, Switches)
	c.between("threads", m.Threads, 0, 1024)
	c.oneOf("flash_attention", m.FlashAttention, Switches)
	for i, path := range m.Embeddings {
		c.path(fmt.Sprintf("embeddings[%d]", i), path)
	}
	for i, path := range m.EmbeddingDirectories {
		c.path(fmt.Sprintf("embedding_directories[%d]", i), path)
	}
	for i, path := range m.LoRADirectories {
		c.path(fmt.Sprintf("lora_directories[%d]", i), path)
	}
	if m.TextCacheMB != -1 {
		c.between("text_cache_mb", m.TextCacheMB, 0, 1<<20)
	}
	c.between("controlnet_cache_mb", m.ControlNetCacheMB, 0, 1<<24)
	for i, path := range m.ControlNetDirectories {
		c.path(fmt.Sprintf("controlnet_directories[%d]", i), path)
	}
	m.Memory.validate(checker{errs, func(key string) string { return prefix + "memory." + key }})
	c.loras(m.LoRACache.Validate())
}

func (c checker) fail(key, format string, args ...any) { c.errs.Add(c.at(key), format, args...) }

func (c checker) text(key, s string) {
	if len(s) > MaxPromptBytes {
		c.fail(key, "has %d bytes; at most %d are possible", len(s), MaxPromptBytes)
		return
	}
	c.utf8(key, s)
}

func (c checker) utf8(key, s string) bool {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				c.fail(key, "byte %d is not valid UTF-8 (%#02x); save the text as UTF-8", i, s[i])
				return false
			}
		}
	}
	if i := strings.IndexByte(s, 0); i >= 0 {
		c.fail(key, "byte %d is NUL; remove it", i)
		return false
	}
	return true
}

func (c checker) path(key, s string) {
	if len(s) > 4096 {
		c.fail(key, "a path of %d bytes is too long; at most 4096 are possible", len(s))
		return
	}
	c.utf8(key, s)
}

func (c checker) name(key, s string) {
	if len(s) > 128 {
		c.fail(key, "a name of %d bytes is too long", len(s))
		return
	}
	c.utf8(key, s)
}

func (c checker) side(key string, n int) {
	switch {
	case n == 0:
	case n < 0 || n > MaxSide:
		c.fail(key, "is %d; it must be between 8 and %d", n, MaxSide)
	case n%8 != 0:
		low := max(n/8*8, 8)
		c.fail(key, "is %d, which is no multiple of 8; the nearest are %d and %d", n, low, n/8*8+8)
	}
}

func (c checker) between(key string, n, low, high int) {
	if n < low || n > high {
		c.fail(key, "is %d; it must be between %d and %d", n, max(low, 1), high)
	}
}

func (c checker) real(key string, x, low, high float64) {
	if math.IsNaN(x) || math.IsInf(x, 0) || x < low || x > high {
		c.fail(key, "is %v; it must be a number between %v and %v", x, low, high)
	}
}

func (c checker) size(key string, s Size) {
	if s == (Size{}) {
		return
	}
	if min(s.Height, s.Width) < 1 || max(s.Height, s.Width) > MaxCoordinate {
		c.fail(key, "is [%d, %d]; [height, width] must be between 1 and %d", s.Height, s.Width, MaxCoordinate)
	}
}

func (c checker) point(key string, p Point) {
	if max(p.Top, p.Left, -p.Top, -p.Left) > MaxCoordinate {
		c.fail(key, "is [%d, %d]; [top, left] must be within %d", p.Top, p.Left, MaxCoordinate)
	}
}

func (c checker) oneOf(key, s string, names []string) {
	if s != "" && !slices.Contains(names, s) {
		c.fail(key, "%s is unknown%s; expected one of %s", clip(s), words.DidYouMean(s, names), strings.Join(names, ", "))
	}
}
