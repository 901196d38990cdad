package prepare

import (
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// readInputs reads the files that a request names and that are not in memory yet. sizes says that only their sizes are needed: pictures are
// not decoded.
func readInputs(r *request.Request, sizes bool, at func(string) string, errs *request.Errors) {
	for _, in := range []struct {
		key string
		pic *request.Picture
	}{{"init_image", &r.InitImage}, {"mask_image", &r.MaskImage}} {
		if err := readPicture(in.pic, sizes); err != nil {
			errs.Add(at(in.key), "%v", err)
		}
	}
	for _, in := range []struct {
		key string
		img image.Image
	}{{"init_image", r.InitImage.Image}, {"mask_image", r.MaskImage.Image}} {
		if in.img != nil && in.img.Bounds().Empty() {
			errs.Add(at(in.key), "has no pixels")
		}
	}
	r.ControlNets = slices.Clone(r.ControlNets)
	for i := range r.ControlNets {
		if err := readPicture(&r.ControlNets[i].Image, sizes); err != nil {
			errs.Add(at(fmt.Sprintf("controlnet[%d].image", i)), "%v", err)
		}
	}
	for _, in := range []struct {
		key   string
		array *request.Array
	}{{"noise", &r.Noise}, {"latents", &r.Latents}} {
		if err := readArray(in.array); err != nil {
			errs.Add(at(in.key), "%v", err)
		}
	}
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
	a, err := npy.ReadFile(array.Path)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(a.Data, func(x float32) bool { return math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) }); i >= 0 {
		return fmt.Errorf("%s: value %d is %v; all must be finite", array.Path, i, a.Data[i])
	}
	array.Shape, array.Data = a.Shape, a.Data
	return nil
}
