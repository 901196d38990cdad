package controlnet

import (
	"errors"
	"fmt"
	"image"
)

// Net is how the map of one ControlNet is made.
type Net struct {
	Image        image.Image    // of any size
	Resize       string         // one of ResizeModes; "" is stretch
	Preprocessor string         // a name in Preprocessors; "" or "none": the picture is a map already
	Options      map[string]any // of the preprocessor; absent ones are the defaults
}

// Validate checks every field. The errors, joined, begin with the field's name as a run file spells it.
func (n Net) Validate() error {
	var errs []error
	if n.Image == nil {
		errs = append(errs, errors.New("image: is missing; give the picture that controls"))
	} else if n.Image.Bounds().Empty() {
		errs = append(errs, errors.New("image: has no pixels"))
	}
	errs = append(errs, validResize(n.Resize))
	if p, err := Find(n.Preprocessor); err != nil {
		errs = append(errs, fmt.Errorf("preprocessor: %w", err))
	} else if _, err := p.values(n.Options); err != nil {
		errs = append(errs, fmt.Errorf("preprocessor_options.%w", err))
	}
	return errors.Join(errs...)
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
	scaled, at, err := scale(n.Image, n.Resize, width, height)
	if err != nil {
		return nil, err
	}
	return place(p.run(scaled, values), at, width, height), nil
}
