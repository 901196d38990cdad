package request

import "math"

// The ways from the first pass's latents to the second's size.
const (
	UpscaleLatent        = "latent"         // bilinear
	UpscaleLatentNearest = "latent_nearest" //
	UpscalePicture       = "picture"        // decoded, resized with Lanczos, encoded
	UpscaleModel         = "model"          // decoded, enlarged by [model]'s upscaler, encoded
)

// DefaultHiresStrength stands for a zero Hires.Strength: A1111's denoising strength.
const DefaultHiresStrength = 0.7

// Hires is a second pass at a larger size over what the first has painted, known as hires fix: the [hires] table. Its
// zero value is no second pass; a zero field of another means what its default tag says.
type Hires struct {
	Scale    float64 `key:"scale"`
	Width    int     `key:"width" default:"by scale"`
	Height   int     `key:"height" default:"by scale"`
	Upscaler string  `key:"upscaler" default:"model where [model] has an upscaler, else latent"`
	Strength float64 `key:"strength" default:"0.7"`
	Steps    int     `key:"steps" default:"num_inference_steps"`
}

// On reports whether there is a second pass.
func (h Hires) On() bool { return h.Scale != 0 || h.Width != 0 || h.Height != 0 }

// Size returns the second pass's size for a first pass of width x height, in multiples of unit. Sides that are given stay
// as they are, and one that is not follows the other.
func (h Hires) Size(width, height, unit int) (w, hh int) {
	scale := h.Scale
	switch {
	case h.Width != 0 && h.Height != 0:
		return h.Width, h.Height
	case h.Width != 0:
		scale = float64(h.Width) / float64(width)
	case h.Height != 0:
		scale = float64(h.Height) / float64(height)
	}
	side := func(given, first int) int {
		if given != 0 {
			return given
		}
		return max(int(math.Round(float64(first)*scale))/unit*unit, unit)
	}
	return side(h.Width, width), side(h.Height, height)
}

func (r Request) validateHires(c checker) {
	h := r.Hires
	if h == (Hires{}) {
		return
	}
	if !h.On() {
		c.lacks("hires", "says neither scale nor width and height; give one, such as scale = 2")
	}
	if l, _ := limitOf("hires.scale"); h.Scale != 0 && !(h.Scale > 1 && h.Scale <= l.max) {
		c.fail("hires.scale", "is %v; it must be a number above 1 to %v", h.Scale, l.max)
	}
	for _, other := range []struct {
		key   string
		given bool
	}{{"outpaint", r.Outpaint.On()}, {"latents", !r.Latents.IsZero()},
		{"denoising_start", r.DenoisingStart != 0}, {"denoising_end", r.DenoisingEnd != 0}} {
		if other.given {
			c.fail("hires", "cannot be used with %s; leave one of them out, or make two jobs", other.key)
		}
	}
}
