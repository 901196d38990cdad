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
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// The limits of a request. They are far above what any SDXL model can use and keep sums of sizes within range.
const (
	MaxSide        = 16384     // pixels
	MaxPixels      = 64 << 20  // of one picture
	MaxSteps       = 1000      // SDXL was trained on this many noise levels
	MaxImages      = 10000     // per request
	maxPromptBytes = 64 << 10  // about 12,000 words
	maxGuidance    = 1000      //
	maxClipSkip    = 30        // the second text encoder has 32 layers
	maxCoordinate  = 1_000_000 // pixels, of size conditioning

	minVAETile        = 256 // pixels: less than what the VAE sees around a pixel, and tiles would show
	maxVAETileOverlap = 0.5 // of a tile
)

// enums holds the values of keys that take one of a few words, by table and name.
var enums = map[string][]string{
	"prompt_syntax": {SyntaxA1111, SyntaxPlain}, "rng": rngs, "guidance_batch": guidanceBatches, "seamless": seamlesses,
	"refiner_mode": {RefinerEnsemble, RefinerImg2Img, RefinerNone}, "hires.upscaler": hiresUpscalers,
	"controlnet.control_mode": controlModes, "controlnet.resize_mode": {"stretch", "crop", "pad"},
	"controlnet.union_type": ControlUnionTypes,
	"model.precision":       Precisions, "model.type": Types, "model.unet_type": Types, "model.text_type": Types, "model.vae_type": Types,
	"model.refiner_type": Types, "model.vae_tiling": switches, "model.vae_slicing": switches, "model.flash_attention": switches,
	"model.memory.strategy": {strategyAuto, strategyResident, strategyRelease, strategyStage, strategyStream, strategyMmap},
}

// limit is the range of a number, and what it must be a multiple of. An integer of 0 is not given.
type limit struct {
	min, max float64
	multiple int
}

var (
	share      = limit{0, 1, 0}
	part       = limit{0, below1, 0} // of the schedule
	side       = limit{0, MaxSide, 8}
	stepCount  = limit{0, MaxSteps, 0}
	imageCount = limit{0, MaxImages, 0}
	loraWeight = limit{-lora.MaxWeight, lora.MaxWeight, 0}
)

// below1 is the largest number below 1.
var below1 = math.Nextafter(1, 0)

// limits holds the ranges of numbers, by table and name.
var limits = map[string]limit{
	"width": side, "height": side, "num_images": imageCount, "num_inference_steps": stepCount, "guidance_scale": {0, maxGuidance, 0},
	"guidance_rescale": share, "clip_skip": {0, maxClipSkip, 0}, "strength": share, "denoising_start": part, "denoising_end": part,
	"refiner_start": part, "refiner_strength": share, "refiner_steps": stepCount, "aesthetic_score": {0, 10, 0},
	"negative_aesthetic_score": {0, 10, 0}, "max_batch": imageCount, "quality": {0, 100, 0},
	"controlnet.weight": {-maxControlWeight, maxControlWeight, 0}, "controlnet.start": share, "controlnet.end": share,
	"hires.scale": {0, maxHiresScale, 0}, "hires.width": side, "hires.height": side, "hires.strength": share, "hires.steps": stepCount,
	"outpaint.left": side, "outpaint.right": side, "outpaint.top": side, "outpaint.bottom": side, "outpaint.feather": {0, maxFeather, 0},
	"model.vae_tile_overlap": {0, maxVAETileOverlap, 0}, "model.threads": {0, 1024, 0}, "model.controlnet_cache_mb": {0, 1 << 24, 0},
	"model.text_cache_mb": {-1, 1 << 20, 0}, "model.memory.max_batch": imageCount,
}

// loraLimits holds the ranges that package lora checks itself, for the schema.
var loraLimits = map[string]limit{
	"lora.weight": loraWeight, "lora.scaling_factor": loraWeight, "lora.unet_weight": loraWeight, "lora.text_encoder_weight": loraWeight,
	"lora.start": part, "lora.end": share, "lora_stack.max_adapters": {0, lora.MaxAdapters, 0}, "lora_stack.global_weight": loraWeight,
	"lora_stack.global_scaling_factor": loraWeight,

	"model.lora_cache.cache_size":              {0, lora.MaxCacheSize, 0},
	"model.lora_cache.idle_seconds":            {math.MinInt32, lora.MaxIdleSeconds, 0},
	"model.lora_cache.memory_limit_mb":         {0, lora.MaxMemoryLimitMB, 0},
	"model.lora_cache.cache_cleanup_threshold": share,
}

// limitOf is the range of a number by its path.
func limitOf(path string) (l limit, limited bool) {
	if l, limited = limits[path]; !limited {
		l, limited = loraLimits[path]
	}
	return l, limited
}

// forms holds what else texts have to be, by table and name.
var forms = map[string]func(c checker, key, s string){
	"prompt": checker.text, "prompt_2": checker.text, "negative_prompt": checker.text, "negative_prompt_2": checker.text,
	"scheduler": checker.name, "controlnet.preprocessor": checker.name, "output": checker.path, "save_latents": checker.path,
	"controlnet.model": checker.path, "model.model": checker.path, "model.unet": checker.path, "model.text_encoder": checker.path,
	"model.text_encoder_2": checker.path, "model.vae": checker.path, "model.refiner": checker.path, "model.taesd": checker.path,
	"model.upscaler": checker.path, "model.device": checker.device, "model.text_device": checker.device, "model.vae_device": checker.device,
	"model.memory.memory_limit": checker.amount, "model.memory.reserve": checker.amount,
}

// checker adds errors for one struct; at turns a key into its path.
type checker struct {
	errs *Errors
	at   func(key string) string
}

func (c checker) fail(key, format string, args ...any) { c.errs.Add(c.at(key), format, args...) }

// within is the checker of a table within.
func (c checker) within(key string) checker {
	return checker{c.errs, func(inner string) string { return c.at(key + "." + inner) }}
}

// table holds a struct against its own rules, which its validate method has, and each field against its. path is the
// struct's name as Key.Table has it. Errors come in the order of the fields.
func (c checker) table(v reflect.Value, path string) {
	var own Errors
	if t, ok := v.Interface().(interface{ validate(c checker) }); ok { // a copy of the struct
		t.validate(checker{&own, asWritten})
	}
	for _, f := range fieldsOf(v.Type()) {
		for _, e := range own {
			if rootOf(e.Path) == f.name {
				c.fail(e.Path, "%s", e.Message)
			}
		}
		x := reflect.Indirect(v.Field(f.index))
		if !x.IsValid() || x.IsZero() {
			continue // which is not given, and every rule lets it be
		}
		path := join(path, f.name)
		switch {
		case f.table:
			c.within(f.name).table(x, path)
		case f.tables:
			for i := range x.Len() {
				c.within(fmt.Sprintf("%s[%d]", f.name, i)).table(x.Index(i), path)
			}
		default:
			c.value(f.name, path, x.Interface())
		}
	}
}

func asWritten(key string) string { return key }

// rootOf is the key that a path begins with: lora of lora[1].weight.
func rootOf(path string) string {
	root, _, _ := strings.Cut(path, ".")
	root, _, _ = strings.Cut(root, "[")
	return root
}

// value holds one value against the rules of its path.
func (c checker) value(key, path string, value any) {
	l, limited := limits[path]
	switch x := value.(type) {
	case string:
		if words, ok := enums[path]; ok {
			c.oneOf(key, x, words)
		} else if form, ok := forms[path]; ok {
			form(c, key, x)
		}
	case []string:
		for i, s := range x {
			c.path(fmt.Sprintf("%s[%d]", key, i), s)
		}
	case int:
		if l.multiple > 0 {
			c.side(key, x)
		} else if limited {
			c.between(key, x, int(l.min), int(l.max))
		}
	case float64:
		switch {
		case path == "hires.scale": // which has to be above 1
		case l == part:
			c.fraction(key, x)
		case limited:
			c.real(key, x, l.min, l.max)
		}
	case Size:
		if x != (Size{}) && (min(x.Height, x.Width) < 1 || max(x.Height, x.Width) > maxCoordinate) {
			c.fail(key, "is [%d, %d]; [height, width] must be between 1 and %d", x.Height, x.Width, maxCoordinate)
		}
	case Point:
		if max(x.Top, x.Left, -x.Top, -x.Left) > maxCoordinate {
			c.fail(key, "is [%d, %d]; [top, left] must be within %d", x.Top, x.Left, maxCoordinate)
		}
	case Picture:
		c.path(key, x.Path)
	case Array:
		c.path(key, x.Path)
		c.array(key, x)
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
	if !(x >= 0 && x < 1) {
		c.fail(key, "is %v; it must be above 0 and below 1, or left out", x)
	}
}

func (c checker) text(key, s string) {
	c.short(key, s, maxPromptBytes, "has %d bytes; at most %d are possible", len(s), maxPromptBytes)
}

func (c checker) path(key, s string) {
	c.short(key, s, 4096, "a path of %d bytes is too long; at most 4096 are possible", len(s))
}

func (c checker) name(key, s string) { c.short(key, s, 128, "a name of %d bytes is too long", len(s)) }

// short checks a text's length, and that it is one.
func (c checker) short(key, s string, most int, format string, args ...any) {
	if len(s) > most {
		c.fail(key, format, args...)
		return
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				c.fail(key, "byte %d is not valid UTF-8 (%#02x); save the text as UTF-8", i, s[i])
				return
			}
		}
	}
	if i := strings.IndexByte(s, 0); i >= 0 {
		c.fail(key, "byte %d is NUL; remove it", i)
	}
}

var deviceName = regexp.MustCompile(`^(auto|[a-z]{2,16}(:[0-9]{1,3})?)$`)

func (c checker) device(key, s string) {
	if s != "" && !deviceName.MatchString(s) {
		c.fail(key, "%s is no device; expected auto, cpu, vulkan:0, cuda:0, ... (see `daguerre devices`)", clip(s))
	}
}

func (c checker) amount(key, s string) {
	if _, err := ParseAmount(s); err != nil {
		c.fail(key, "is %v", err)
	}
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
	if !(x >= low && x <= high) {
		c.fail(key, "is %v; it must be a number between %v and %v", x, low, high)
	}
}

func (c checker) oneOf(key, s string, names []string) {
	if s != "" && !slices.Contains(names, s) {
		c.fail(key, "%s is unknown%s; expected one of %s", clip(s), words.DidYouMean(s, names), strings.Join(names, ", "))
	}
}
