package request

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
)

// Validate checks every field and returns all that is wrong as Errors, or nil. It reads no file and
// does not know the model; the pipeline checks what depends on either.
func (r Request) Validate() error {
	var errs Errors
	checker{&errs, asWritten, false}.table(reflect.ValueOf(r), "")
	return errs.Err()
}

// Validate checks every field and returns all that is wrong as Errors, or nil. It reads no file.
func (m Model) Validate() error {
	var errs Errors
	checker{&errs, asWritten, false}.table(reflect.ValueOf(m), "model")
	return errs.Err()
}

// Validate checks the model and all jobs and returns all that is wrong as Errors, or nil. A path is
// that of the place where the value was written: "width" for a top-level default, "jobs[1].width" for a job's own.
func (r Run) Validate() error {
	var errs Errors
	c := checker{&errs, func(key string) string { return r.Path(0, "model."+key) }, r.faulty}
	c.table(reflect.ValueOf(r.Model), "model")
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
		checker{&errs, func(key string) string { return r.Path(i, key) }, r.faulty}.table(reflect.ValueOf(job), "")
	}
	return errs.Err()
}

// Path tells where job i's value of key was written: "jobs[1].width", or "width" for one that comes from the
// file's top level or belongs to the only job, or the flag that Typed names. Keys are spelled as they were: "jobs[1].cfgScale" for a
// guidance_scale. A key of [model] begins with "model.".
func (r Run) Path(i int, key string) string {
	if flag, ok := r.typedAs(key); ok {
		return flag
	}
	if strings.HasPrefix(key, "model.") {
		return r.spelled.path(key, r.Casing)
	}
	fromTop := i < len(r.given) && !r.given[i][rootOf(key)]
	if fromTop || len(r.Jobs) == 1 && r.given == nil {
		return r.spelled.path(key, r.Casing)
	}
	return r.spelled.path(fmt.Sprintf("jobs[%d].%s", i, key), r.Casing)
}

// Typed tells that a key, as Path takes it, was given by a flag of the command line for all jobs. Errors name the flag then.
func (r *Run) Typed(key, flag string) {
	r.flags = maps.Clone(r.flags) // a Run may be copied
	if r.flags == nil {
		r.flags = map[string]string{}
	}
	r.flags[key] = flag
}

// typedAs returns the flag that a key, or what holds it, was given by, with a key of a list's item: "--control canny: weight".
func (r Run) typedAs(key string) (flag string, ok bool) {
	for head := key; head != ""; head = head[:max(strings.LastIndexAny(head, ".["), 0)] {
		if flag, ok = r.flags[head]; ok {
			if inner, isKey := strings.CutPrefix(key[len(head):], "."); isKey && !slices.Contains(naming, inner) {
				flag += ": " + inner
			}
			return flag, true
		}
	}
	return "", false
}

// naming are the keys of a list's item that its flag begins with.
var naming = []string{"name", "path", "model", "image"}

// validate checks what fields demand of each other.
func (r Request) validate(c checker) {
	c.loras(r.Stack().Validate())
	if r.Prompt != "" && r.PromptFile != "" {
		c.fail("prompt_file", "is given beside prompt; leave one of them out")
	}
	if r.Prompt == "" && r.PromptFile == "" {
		c.lacks("prompt", `is missing; say what the picture shows, or give an empty text, "", for no prompt`)
	}
	if r.Width > 0 && r.Width <= MaxSide && r.Height > 0 && r.Height <= MaxSide && r.Width*r.Height > MaxPixels {
		c.fail("width", "%d x %d is %d million pixels; at most %d are possible", r.Width, r.Height, r.Width*r.Height>>20, MaxPixels>>20)
	}
	if last := int64(max(r.NumImages, 1)) - 1; r.Seed > math.MaxInt64-last {
		c.fail("seed", "is %d, and the last of %d pictures would have a seed beyond 2^63-1; use a smaller one", r.Seed, last+1)
	}
	r.validateInputs(c)
	if len(r.ControlNets) > maxControlNets {
		c.fail("controlnet", "has %d entries; at most %d are possible", len(r.ControlNets), maxControlNets)
	}
	r.validateGuidance(c)
	if len(r.IPAdapters) > maxIPAdapters {
		c.fail("ip_adapter", "has %d entries; at most %d are possible", len(r.IPAdapters), maxIPAdapters)
	}
	r.validateRegions(c)
	r.validateRefiner(c)
	r.validateInpaint(c)
	r.validateOutpaint(c)
	r.validateHires(c)
	r.validateReuse(c)
	r.validateTiles(c)
	r.validateDetails(c)
}

// validateInputs checks what a picture begins with: an image, or latents of a run in parts.
func (r Request) validateInputs(c checker) {
	noPicture, noLatents := r.InitImage.IsZero(), r.Latents.IsZero()
	for _, x := range []struct {
		wrong        bool
		key, message string
	}{
		{!noLatents && !noPicture, "latents", "are given beside init_image; leave one of them out"},
		{r.DenoisingStart > 0 && r.DenoisingEnd > 0 && r.DenoisingStart >= r.DenoisingEnd, "denoising_start",
			fmt.Sprintf("is %v; it must be below denoising_end (%v)", r.DenoisingStart, r.DenoisingEnd)},
		{r.DenoisingStart > 0 && noLatents && noPicture, "denoising_start",
			"there is nothing to continue from; give latents, or an init_image"},
		{r.DenoisingStart > 0 && r.Strength > 0, "denoising_start",
			"is given beside strength; both say where to begin: leave one of them out"},
		{!r.MaskImage.IsZero() && noPicture, "mask_image", "there is no init_image to mask; give one"},
		{r.Strength != 0 && noPicture && noLatents, "strength",
			"there is no init_image it could apply to; give one, or leave strength out"},
	} {
		switch {
		case x.wrong && strings.HasPrefix(x.message, "there is no"):
			c.lacks(x.key, "%s", x.message)
		case x.wrong:
			c.fail(x.key, "%s", x.message)
		}
	}
}

func (r Request) validateRefiner(c checker) {
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

func (m Model) validate(c checker) {
	c.loras(m.LoRACache.Validate())
	if strings.TrimSpace(m.Model) == "" && m.UNet == "" {
		c.lacks("model", "is missing; give a checkpoint, a diffusers folder, or nano for the embedded demo model")
	}
	if m.FastDecode != nil && *m.FastDecode && m.TAESD == "" {
		c.lacks("fast_decode", "is on, and there is no taesd to decode with; name its file")
	}
	if m.VAETileSize != 0 {
		c.between("vae_tile_size", m.VAETileSize, minVAETile, MaxSide)
	}
}
