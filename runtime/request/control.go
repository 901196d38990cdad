package request

import (
	"fmt"
	"slices"
)

// The ways in which a ControlNet and the prompt share the work, as A1111 names them.
const (
	controlBalanced = "balanced"
	controlPrompt   = "prompt"  // the net weighs less in both halves of guidance
	controlControl  = "control" // the net acts in the positive half only: diffusers' guess_mode
)

// ControlUnionTypes lists the values of ControlNet.UnionType. The index of one is the net's own number for it, as in
// xinsir's controlnet-union-sdxl-1.0.
var ControlUnionTypes = wordsOf("controlnet.union_type")

const maxControlNets = 16

// ControlNet is one net of a job: a [[controlnet]] table.
type ControlNet struct {
	Model  string   `key:"model"`
	Image  Picture  `key:"image"`
	Weight *float64 `key:"weight" default:"1.0"`
	Start  float64  `key:"start" default:"0.0"`
	End    float64  `key:"end" default:"1.0"`

	ControlMode string `key:"control_mode" default:"balanced"`
	ResizeMode  string `key:"resize_mode" default:"crop"`

	Preprocessor        string         `key:"preprocessor" default:"none"`
	PreprocessorOptions map[string]any `key:"preprocessor_options"`
	UnionType           string         `key:"union_type"`
	UnionJoined         bool           `key:"union_joined"` // with the others of its file that say so, in one evaluation of the net
}

func (n ControlNet) validate(c checker) {
	if n.Model == "" {
		c.lacks("model", "is missing; give the net's file or name")
	}
	if n.Image.IsZero() {
		c.lacks("image", "is missing; give the picture that controls")
	}
	if n.End != 0 && n.Start >= n.End {
		c.fail("start", "is %v, not before end, which is %v: the net would never act", n.Start, n.End)
	}
	for _, key := range sortedKeys(n.PreprocessorOptions) {
		if v := n.PreprocessorOptions[key]; !slices.Contains([]string{"int64", "float64", "bool"}, fmt.Sprintf("%T", v)) {
			c.fail("preprocessor_options."+key, "is %s; expected a number or a boolean", kindOf(v))
		}
	}
}
