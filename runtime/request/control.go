package request

import (
	"fmt"
	"slices"
)

// The ways in which a ControlNet and the prompt share the work, as A1111 names them.
const (
	ControlBalanced = "balanced"
	ControlPrompt   = "prompt"  // the net weighs less in both halves of guidance
	ControlControl  = "control" // the net acts in the positive half only: diffusers' guess_mode
)

// ControlModes, ControlResizeModes and ControlUnionTypes list the values of a ControlNet's fields. The index of a union
// type is the net's own number for it, as in xinsir's controlnet-union-sdxl-1.0.
var (
	ControlModes       = []string{ControlBalanced, ControlPrompt, ControlControl}
	ControlResizeModes = []string{"stretch", "crop", "pad"}
	ControlUnionTypes  = []string{"openpose", "depth", "scribble", "canny", "normal", "segment", "tile", "repaint"}
)

const (
	maxControlNets   = 16
	maxControlWeight = 10
)

// ControlNet is one net of a job: a [[controlnet]] table.
type ControlNet struct {
	Model  string   `key:"model" doc:"the net's file, or its name in controlnet_directories"`
	Image  Picture  `key:"image" doc:"picture that controls: a map that the net understands, or one that preprocessor makes into such a map"`
	Weight *float64 `key:"weight" default:"1.0" doc:"of what the net adds, -10 to 10; 0 is as without it"`
	Start  float64  `key:"start" default:"0.0" doc:"the fraction of the steps at which it begins to act"`
	End    float64  `key:"end" default:"1.0" doc:"the fraction of the steps at which it ends"`

	ControlMode string `key:"control_mode" default:"balanced" doc:"balanced; prompt: the prompt is more important; control: the net is"`
	ResizeMode  string `key:"resize_mode" default:"crop" doc:"how image comes to width x height: stretch, crop or pad"`

	Preprocessor        string         `key:"preprocessor" default:"none" doc:"what makes the map from image, such as canny; none: image is the map"`
	PreprocessorOptions map[string]any `key:"preprocessor_options" doc:"table of the preprocessor's own options"`
	UnionType           string         `key:"union_type" doc:"of a Union net, what the map shows: openpose, depth, scribble, canny, normal, segment, tile, repaint"`
}

func (r Request) validateControlNets(c checker) {
	if len(r.ControlNets) > maxControlNets {
		c.fail("controlnet", "has %d entries; at most %d are possible", len(r.ControlNets), maxControlNets)
	}
	for i, n := range r.ControlNets {
		n.validate(checker{c.errs, func(key string) string { return c.at(fmt.Sprintf("controlnet[%d].%s", i, key)) }})
	}
}

func (n ControlNet) validate(c checker) {
	if n.Model == "" {
		c.fail("model", "is missing; give the net's file or name")
	}
	c.path("model", n.Model)
	if n.Image.IsZero() {
		c.fail("image", "is missing; give the picture that controls")
	}
	c.path("image", n.Image.Path)
	if n.Weight != nil {
		c.real("weight", *n.Weight, -maxControlWeight, maxControlWeight)
	}
	c.real("start", n.Start, 0, 1)
	c.real("end", n.End, 0, 1)
	if n.End != 0 && n.Start >= n.End {
		c.fail("start", "is %v, not before end, which is %v: the net would never act", n.Start, n.End)
	}
	c.oneOf("control_mode", n.ControlMode, ControlModes)
	c.oneOf("resize_mode", n.ResizeMode, ControlResizeModes)
	c.name("preprocessor", n.Preprocessor)
	for _, key := range sortedKeys(n.PreprocessorOptions) {
		if v := n.PreprocessorOptions[key]; !slices.Contains([]string{"int64", "float64", "bool"}, fmt.Sprintf("%T", v)) {
			c.fail("preprocessor_options."+key, "is %s; expected a number or a boolean", kindOf(v))
		}
	}
	c.oneOf("union_type", n.UnionType, ControlUnionTypes)
}
