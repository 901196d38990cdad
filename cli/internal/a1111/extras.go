package a1111

import (
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"image"
	"maps"
	"math"
	"net/http"
	"slices"

	xdraw "golang.org/x/image/draw"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/recall"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// resizers are the upscalers that need no model.
var resizers = []string{"None", "Lanczos", "Nearest"}

// pngInfo tells what is in a picture file.
func (f *server) pngInfo(r *http.Request, _ *told) (any, error) {
	body, err := read(r)
	if err != nil {
		return nil, err
	}
	data, err := pictureOf(body["image"])
	if err != nil {
		return nil, invalid("image", "%v", err)
	}
	items := map[string]string{}
	if texts, err := imagefile.ReadText(data); err == nil { // other files carry no texts
		for _, t := range texts {
			items[t.Keyword] = t.Value
		}
	}
	info := items["parameters"]
	return map[string]any{"info": info, "items": items, "parameters": recall.Infotext(info)}, nil
}

// enlargement is what extra-single-image and extra-batch-images are asked to do.
type enlargement struct {
	upscaler      string
	scale         float64 // 0: to a size
	width, height int
	crop          bool
	show          bool
}

// idleExtras are the fields of extras that are offered with one value only.
var idleExtras = map[string]any{"gfpgan_visibility": 0, "codeformer_visibility": 0, "extras_upscaler_2_visibility": 0}

// enlargement reads the fields.
func (f *server) enlargement(body map[string]any, t *told) (e enlargement, err error) {
	e = enlargement{upscaler: "None", scale: 2, width: 512, height: 512, crop: flag(body, "upscaling_crop", true),
		show: flag(body, "show_extras_results", true)}
	var errs request.Errors
	numbers := map[string]float64{"upscaling_resize": 2, "upscaling_resize_w": 512, "upscaling_resize_h": 512, "resize_mode": 0}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		v := body[name]
		switch {
		case v == nil:
		case idleExtras[name] != nil:
			if !same(idleExtras[name], v) {
				errs.Add(name, "is %s; this is not offered: leave it out, or write 0", sprint(v))
			}
		case slices.Contains(slices.Collect(maps.Keys(numbers)), name):
			x, ok := number(v)
			if !ok || x < 0 || x > request.MaxSide {
				errs.Add(name, "is %s; expected a number from 0 to %d", sprint(v), request.MaxSide)
			}
			numbers[name] = x
		case name == "upscaler_1":
			e.upscaler, _ = v.(string)
		case slices.Contains([]string{"image", "imageList", "upscaling_crop", "show_extras_results", "upscaler_2", "codeformer_weight",
			"upscale_first"}, name): // what there is only one of has no order, and no second
		default:
			t.warn("%s is not known here and was left out", words.Clip(name))
		}
	}
	if e.scale = numbers["upscaling_resize"]; e.scale <= 0 || e.scale > 16 {
		errs.Add("upscaling_resize", "is %v; it must be above 0 to 16", e.scale)
	}
	if numbers["resize_mode"] == 1 {
		e.scale, e.width, e.height = 0, int(numbers["upscaling_resize_w"]), int(numbers["upscaling_resize_h"])
		if e.width < 1 || e.height < 1 {
			errs.Add("upscaling_resize_w", "a size of %d x %d pixels is none", e.width, e.height)
		}
	} else if numbers["resize_mode"] != 0 {
		errs.Add("resize_mode", "is %v; it must be 0 or 1", numbers["resize_mode"])
	}
	f.checkUpscaler(e.upscaler, &errs)
	if len(errs) > 0 {
		return e, invalid(errs[0].Path, "%s", errs[0].Message)
	}
	return e, nil
}

func (f *server) checkUpscaler(name string, errs *request.Errors) {
	files, _ := f.s.Files(catalog.Upscaler) // a folder that cannot be read has no files
	known := slices.Concat(resizers, files)
	if !slices.Contains(known, name) {
		errs.Add("upscaler_1", "there is no upscaler %s here%s; GET %supscalers lists them", words.Clip(name), words.DidYouMean(name, known),
			root)
	}
}

// size is that of the result, and what of it is kept.
func (e enlargement) size(w, h int) (width, height int, keep image.Rectangle) {
	scale := e.scale
	if scale == 0 {
		scale = math.Min(float64(e.width)/float64(w), float64(e.height)/float64(h))
		if e.crop {
			scale = math.Max(float64(e.width)/float64(w), float64(e.height)/float64(h))
		}
	}
	side := func(n int) int { return max(int(math.Round(float64(n)*scale)), 1) }
	width, height = side(w), side(h)
	keep = image.Rect(0, 0, width, height)
	if e.scale == 0 && e.crop {
		x, y := max(width-e.width, 0)/2, max(height-e.height, 0)/2
		keep = image.Rect(x, y, min(x+e.width, width), min(y+e.height, height))
	}
	return width, height, keep
}

// enlarge makes one picture.
func (f *server) enlarge(r *http.Request, e enlargement, v any) (string, error) {
	data, err := pictureOf(v)
	if err != nil {
		return "", err
	}
	img, err := picture.Decode(data, request.MaxPixels)
	if err != nil {
		return "", err
	}
	w, h, keep := e.size(img.Bounds().Dx(), img.Bounds().Dy())
	limit := int64(request.MaxPixels)
	if l := face.Caller(r.Context()).Limits.Pixels; l > 0 {
		limit = min(limit, l)
	}
	if n := int64(w) * int64(h); n > limit {
		return "", fmt.Errorf("would have %d x %d pixels; you may make %d", w, h, limit)
	}
	var out image.Image
	switch e.upscaler {
	case "None", "Lanczos":
		out = picture.Resize(picture.Opaque(img), w, h)
	case "Nearest":
		near, from := image.NewNRGBA(image.Rect(0, 0, w, h)), picture.Opaque(img)
		xdraw.NearestNeighbor.Scale(near, near.Bounds(), from, from.Bounds(), xdraw.Src, nil)
		out = near
	default:
		if out, err = f.s.Upscale(r.Context(), e.upscaler, img, w, h); err != nil {
			return "", err
		}
	}
	cut := image.NewNRGBA(image.Rect(0, 0, keep.Dx(), keep.Dy()))
	xdraw.Copy(cut, image.Point{}, out, keep, xdraw.Src, nil)
	file, err := imagefile.Encode(cut, imagefile.PNG, imagefile.EncodeOptions{})
	return base64.StdEncoding.EncodeToString(file), err
}

// html is the text that A1111 shows beside the pictures.
func (e enlargement) text() string {
	if e.scale == 0 {
		return fmt.Sprintf("<p>%s to %d x %d</p>", html.EscapeString(e.upscaler), e.width, e.height)
	}
	return fmt.Sprintf("<p>%s, %v times</p>", html.EscapeString(e.upscaler), e.scale)
}

func (f *server) extraSingle(r *http.Request, t *told) (any, error) {
	body, err := read(r)
	if err != nil {
		return nil, err
	}
	e, err := f.enlargement(body, t)
	if err != nil {
		return nil, err
	}
	text, err := f.enlarge(r, e, body["image"])
	if err != nil {
		return nil, ofField(err, "image")
	}
	if !e.show {
		text = ""
	}
	return map[string]any{"image": text, "html_info": e.text()}, nil
}

// maxExtras is how many pictures extra-batch-images takes.
const maxExtras = 256

func (f *server) extraBatch(r *http.Request, t *told) (any, error) {
	body, err := read(r)
	if err != nil {
		return nil, err
	}
	e, err := f.enlargement(body, t)
	if err != nil {
		return nil, err
	}
	list, _ := body["imageList"].([]any)
	if len(list) == 0 || len(list) > maxExtras {
		return nil, invalid("imageList", "has %d pictures; give 1 to %d", len(list), maxExtras)
	}
	out := []string{}
	for i, v := range list {
		item, _ := v.(map[string]any)
		text, err := f.enlarge(r, e, item["data"])
		if err != nil {
			return nil, ofField(err, fmt.Sprintf("imageList[%d].data", i))
		}
		if e.show {
			out = append(out, text)
		}
	}
	return map[string]any{"images": out, "html_info": e.text()}, nil
}

// ofField makes an error that is about one field's picture a problem of it.
func ofField(err error, field string) error {
	if _, ok := errors.AsType[*studio.Problem](err); ok {
		return err
	}
	return invalid(field, "%v", err)
}
