package prepare

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/regions"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// readInputs reads the files that a request names and that are not in memory yet. sizes says that only their sizes are needed: pictures are
// not decoded.
func readInputs(r *request.Request, sizes bool, at func(string) string, errs *request.Errors) {
	r.Inputs(func(key string, pic *request.Picture) {
		if err := readPicture(pic, sizes && !strings.HasPrefix(key, "region")); err != nil { // a mask says how many prompts count
			errs.AddFile(at(key), "%v", err)
		}
		if pic.Image != nil && pic.Image.Bounds().Empty() {
			errs.AddFile(at(key), "has no pixels")
		}
	}, func(key string, array *request.Array) {
		if err := readArray(array); err != nil {
			errs.AddFile(at(key), "%v", err)
		}
	})
	regions.Check(r, at, errs)
}

// pictureWarnings says what is done with a request's pictures that the user may not expect.
func pictureWarnings(r *request.Request) (out []string) {
	say := func(key, text string) { out = append(out, key+": "+text) }
	for _, in := range pictures(r) {
		for _, note := range picture.Notes(in.pic.Image) {
			say(in.key, note)
		}
		if o, ok := in.pic.Image.(interface{ Opaque() bool }); ok && !strings.Contains(in.key, "mask") && !o.Opaque() {
			say(in.key, "its transparency is ignored; the colours under it are used")
		}
	}
	if img := r.MaskImage.Image; img != nil {
		if _, said := picture.Mask(img, r.MaskChannel); said != "" {
			say("mask_image", said)
		}
	}
	return out
}

// keyed is a picture of a request.
type keyed struct {
	key string
	pic *request.Picture
}

// pictures lists a request's pictures, given or not.
func pictures(r *request.Request) []keyed {
	var list []keyed
	r.Inputs(func(key string, p *request.Picture) { list = append(list, keyed{key, p}) }, func(string, *request.Array) {})
	return list
}

// readPicture decodes a picture that is not decoded yet.
func readPicture(pic *request.Picture, sizes bool) (err error) {
	switch {
	case pic.Image != nil:
	case pic.Data != nil:
		pic.Image, err = picture.Decode(pic.Data, request.MaxPixels)
	case pic.Path != "" && sizes:
		pic.Image, err = picture.ReadSize(pic.Path, request.MaxPixels)
	case pic.Path != "":
		pic.Image, err = picture.Read(pic.Path, request.MaxPixels)
	}
	return err
}

// readArray reads the .npy file of an array that is not in memory yet.
func readArray(array *request.Array) error {
	if array.Data != nil || array.Path == "" {
		return nil
	}
	a, err := npy.ReadTensor(array.Path)
	if err != nil {
		return err
	}
	read := request.Array{Shape: a.Shape, Data: a.Data}
	if err := read.CheckValues(); err != nil {
		return fmt.Errorf("%s: %w", array.Path, err)
	}
	array.Shape, array.Data = a.Shape, a.Data
	return nil
}
