package request

import (
	"fmt"
	"math"
	"reflect"
	"strings"
)

// Validate checks every field and returns all that is wrong as Errors, or nil. It reads no file and
// does not know the model; the pipeline checks what depends on either.
func (r Request) Validate() error {
	var errs Errors
	checker{&errs, asWritten}.table(reflect.ValueOf(r), "")
	return errs.Err()
}

// Validate checks every field and returns all that is wrong as Errors, or nil. It reads no file.
func (m Model) Validate() error {
	var errs Errors
	checker{&errs, asWritten}.table(reflect.ValueOf(m), "model")
	return errs.Err()
}

// Validate checks the model and all jobs and returns all that is wrong as Errors, or nil. A path is
// that of the place where the value was written: "width" for a top-level default, "jobs[1].width" for a job's own.
func (r Run) Validate() error {
	var errs Errors
	c := checker{&errs, func(key string) string { return r.spelled.path("model."+key, r.Casing) }}
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
		checker{&errs, func(key string) string { return r.Path(i, key) }}.table(reflect.ValueOf(job), "")
	}
	return errs.Err()
}

// Path tells where job i's value of key was written: "jobs[1].width", or "width" for one that comes from the
// file's top level or belongs to the only job. Keys are spelled as they were: "jobs[1].cfgScale" for a guidance_scale.
func (r Run) Path(i int, key string) string {
	fromTop := i < len(r.given) && !r.given[i][rootOf(key)]
	if fromTop || len(r.Jobs) == 1 && r.given == nil {
		return r.spelled.path(key, r.Casing)
	}
	return r.spelled.path(fmt.Sprintf("jobs[%d].%s", i, key), r.Casing)
}

// validate checks what fields demand of each other.
func (r Request) validate(c checker) {
	c.loras(r.Stack().Validate())
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
	r.validateRefiner(c)
	r.validateOutpaint(c)
	r.validateHires(c)
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
		if x.wrong {
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
		c.fail("model", "is missing; give a checkpoint, a diffusers folder, or nano for the embedded demo model")
	}
	if m.FastDecode != nil && *m.FastDecode && m.TAESD == "" {
		c.fail("fast_decode", "is on, and there is no taesd to decode with; name its file")
	}
	if m.VAETileSize != 0 {
		c.between("vae_tile_size", m.VAETileSize, minVAETile, MaxSide)
	}
}
