package request

import (
	"fmt"
	"math"
)

// maxRegions bounds the regions of a picture: each is a row more for the UNet, as a part of AND is.
const maxRegions = 16

// How the prompts of regions are joined: Request.RegionMode.
const (
	RegionLatent    = "latent"    // each makes a prediction of its own
	RegionAttention = "attention" // inside the UNet's attention, in one evaluation
)

// Attends reports whether the prompts of regions are joined in the UNet's attention.
func (r *Request) Attends() bool { return len(r.Regions) > 0 && r.RegionMode == RegionAttention }

// Region is a part of the picture with a prompt of its own: a [[region]] table.
type Region struct {
	Prompt string      `key:"prompt"`
	Box    *[4]float64 `key:"box"`  // left, top, right and bottom: parts of the picture from 0 to 1, or pixels
	Mask   Picture     `key:"mask"` // instead of Box
	Weight *float64    `key:"weight" default:"1.0"`
}

func (g Region) validate(c checker) {
	if g.Prompt == "" {
		c.lacks("prompt", "is missing; say what this part of the picture shows")
	}
	switch {
	case g.Box == nil && g.Mask.IsZero():
		c.lacks("box", "is missing; say where the region is, as box = [0, 0, 0.5, 1] for the left half, or by a mask")
	case g.Box != nil && !g.Mask.IsZero():
		c.fail("box", "is given beside mask; leave one of them out")
	case g.Box != nil:
		if wrong := wrongBox(*g.Box); wrong != "" {
			c.fail("box", "is %v: %s", *g.Box, wrong)
		}
	}
	if g.Weight != nil && *g.Weight == 0 {
		c.fail("weight", "is 0: the region would never act; give more, or leave the region out")
	}
}

// wrongBox says what is wrong with a box on pictures of any size; "" if nothing.
func wrongBox(b [4]float64) string {
	pixels := inPixels(b)
	for i, x := range b {
		switch {
		case math.IsNaN(x) || math.IsInf(x, 0):
			return "all must be numbers"
		case x < 0 || x > MaxSide:
			return "it must lie within the picture; give parts of it from 0 to 1, or pixels"
		case pixels && x != math.Trunc(x):
			return fmt.Sprintf("%v is above 1, so that these are pixels, and %v is no whole number; give parts from 0 to 1, or whole pixels",
				max(b[0], b[1], b[2], b[3]), b[i])
		}
	}
	if b[0] >= b[2] || b[1] >= b[3] {
		return "it holds nothing; the order is left, top, right, bottom"
	}
	return ""
}

// inPixels reports whether a box is given in pixels: some number is above 1.
func inPixels(b [4]float64) bool { return max(b[0], b[1], b[2], b[3]) > 1 }

// Share is Box in parts of a picture of a size in pixels.
func (g Region) Share(width, height int) [4]float64 { return share(*g.Box, width, height) }

// Share is Box in parts of a picture of a size in pixels.
func (d Detail) Share(width, height int) [4]float64 { return share(*d.Box, width, height) }

func share(b [4]float64, width, height int) [4]float64 {
	if inPixels(b) {
		w, h := float64(width), float64(height)
		b = [4]float64{b[0] / w, b[1] / h, b[2] / w, b[3] / h}
	}
	return b
}

// validateRegions checks what regions demand of the rest. That a box lies in the picture depends on the picture's size, which may be the
// model's.
func (r Request) validateRegions(c checker) {
	switch {
	case len(r.Regions) == 0 && r.PromptWeight != 0:
		c.lacks("prompt_weight", "there is no region that it could apply to; add a [[region]], or leave it out")
	case len(r.Regions) == 0 && r.RegionMode == RegionAttention:
		c.lacks("region_mode", "there is no region that it could apply to; add a [[region]], or leave it out")
	case len(r.Regions) > maxRegions:
		c.fail("region", "has %d entries; at most %d are possible", len(r.Regions), maxRegions)
	}
}
