package pipeline

import (
	"fmt"
	"image"
	_ "image/gif"  // the formats that image.Decode
	_ "image/jpeg" // knows are those
	_ "image/png"  // imported here
	"math"
	"os"
	"slices"

	_ "golang.org/x/image/webp" // and this one

	"github.com/daguerre-go/daguerre/runtime/pipeline/npy"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// loadInputs reads the files that a request names and that are not in memory yet.
func loadInputs(r *request.Request, at func(string) string, errs *request.Errors) {
	for _, in := range []struct {
		key string
		pic *request.Picture
	}{{"init_image", &r.InitImage}, {"mask_image", &r.MaskImage}} {
		if in.pic.Image != nil || in.pic.Path == "" {
			continue
		}
		img, err := readPicture(in.pic.Path)
		if err != nil {
			errs.Add(at(in.key), "%v", err)
			continue
		}
		in.pic.Image = img
	}
	for _, in := range []struct {
		key string
		img image.Image
	}{{"init_image", r.InitImage.Image}, {"mask_image", r.MaskImage.Image}} {
		if in.img != nil && in.img.Bounds().Empty() {
			errs.Add(at(in.key), "has no pixels")
		}
	}
	for _, in := range []struct {
		key   string
		array *request.Array
	}{{"noise", &r.Noise}, {"latents", &r.Latents}} {
		if err := loadArray(in.array); err != nil {
			errs.Add(at(in.key), "%v", err)
		}
	}
}

// loadArray reads the .npy file of an array that is not in memory yet.
func loadArray(array *request.Array) error {
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

// readPicture decodes a picture file, after its header has shown a possible size.
func readPicture(path string) (image.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file; name a PNG, JPEG, GIF or WebP file", path)
	}
	head, _, err := image.DecodeConfig(f)
	if err != nil {
		return nil, fmt.Errorf("%s: not a readable PNG, JPEG, GIF or WebP file: %w", path, err)
	}
	if head.Width < 1 || head.Height < 1 || head.Width > request.MaxPixels/head.Height {
		return nil, fmt.Errorf("%s: %d x %d pixels; at most %d million are read: scale it down", path, head.Width, head.Height, request.MaxPixels>>20)
	}
	if _, err := f.Seek(0, 0); err != nil {
		return nil, err
	}
	img, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: damaged: %w", path, err)
	}
	return img, nil
}
