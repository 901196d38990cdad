package controlnet

import (
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"
)

// Mode says which of prompt and control picture weighs more, as A1111 calls it.
type Mode string

// The control modes; "" is Balanced.
const (
	Balanced Mode = "balanced"
	Prompt   Mode = "prompt"
	Control  Mode = "control"
)

// Modes lists every Mode.
var Modes = []string{string(Balanced), string(Prompt), string(Control)}

// MaxWeight bounds a net's weight on both sides.
const MaxWeight = 10

// Net is one ControlNet's part in a picture, besides the net itself.
type Net struct {
	Image        image.Image // of any size
	Weight       float64     // of its residuals; 0 switches the net off
	Start, End   float64     // shares of the steps between which it acts
	Mode         Mode
	Resize       ResizeMode
	Preprocessor string         // a name in Preprocessors; "" or "none": the picture is a map already
	Options      map[string]any // of the preprocessor; absent ones are the defaults
}

// Validate checks every field. The errors, joined, begin with the field's name as a run file spells it.
func (n Net) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n.Image == nil {
		fail("image: is missing; give the picture that controls")
	} else if n.Image.Bounds().Empty() {
		fail("image: has no pixels")
	}
	if math.IsNaN(n.Weight) || math.Abs(n.Weight) > MaxWeight {
		fail("weight: is %v; expected %d to %d", n.Weight, -MaxWeight, MaxWeight)
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"start", n.Start}, {"end", n.End}} {
		if math.IsNaN(f.value) || f.value < 0 || f.value > 1 {
			fail("%s: is %v; it is a share of the steps, 0 to 1", f.name, f.value)
		}
	}
	if n.Start >= n.End && n.End >= 0 && n.Start <= 1 {
		fail("start: is %v, not before end, which is %v; the net would never act", n.Start, n.End)
	}
	if n.Mode != "" && !slices.Contains(Modes, string(n.Mode)) {
		fail("control_mode: %q is none of %s", n.Mode, strings.Join(Modes, ", "))
	}
	if err := n.Resize.validate(); err != nil {
		errs = append(errs, err)
	}
	if p, err := Find(n.Preprocessor); err != nil {
		errs = append(errs, fmt.Errorf("preprocessor: %w", err))
	} else if _, err := p.values(n.Options); err != nil {
		errs = append(errs, fmt.Errorf("preprocessor_options.%w", err))
	}
	return errors.Join(errs...)
}

// Scaled is the net's picture brought to a size by its resize mode, before any preprocessor.
func (n Net) Scaled(width, height int) (*image.NRGBA, error) {
	scaled, at, err := n.Resize.scale(n.Image, width, height)
	if err != nil {
		return nil, err
	}
	return place(scaled, at, width, height), nil
}

// Map makes what the net is shown, width x height pixels. The picture is scaled before it is preprocessed, so that lines are as sharp as
// the net's resolution allows. Padding is added after it, so that its border is no edge.
func (n Net) Map(width, height int) (*image.NRGBA, error) {
	p, err := Find(n.Preprocessor)
	if err != nil {
		return nil, err
	}
	values, err := p.values(n.Options)
	if err != nil {
		return nil, err
	}
	scaled, at, err := n.Resize.scale(n.Image, width, height)
	if err != nil {
		return nil, err
	}
	return place(p.run(scaled, values), at, width, height), nil
}
