package openai

import (
	"encoding/base64"
	"fmt"
	"image"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// formMemory is how much of a form is kept in memory; the server bounds the whole body.
const formMemory = 64 << 20

// editStrength is how much of a picture changes that comes without a mask, unless strength says it.
const editStrength = 0.75

func (f *server) edit(w http.ResponseWriter, r *http.Request) error {
	a := newAsked()
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "multipart/form-data":
		err = a.takeForm(r)
	case err == nil && kind == "application/json":
		err = a.takeEdit(r)
	default:
		err = invalid("Content-Type", "must be multipart/form-data, or application/json with images as data URLs")
	}
	if err == nil {
		err = a.startFrom()
	}
	if err != nil {
		return err
	}
	return f.answer(w, r, a, "image_edit")
}

// takeForm reads a form.
func (a *asked) takeForm(r *http.Request) error {
	if err := r.ParseMultipartForm(formMemory); err != nil {
		return unreadable(err)
	}
	defer func() { _ = r.MultipartForm.RemoveAll() }() // files that were too large for memory
	body := map[string]any{}
	for name, values := range r.MultipartForm.Value {
		if len(values) > 1 {
			a.errs.Add(name, "is given %d times", len(values))
		}
		body[name] = values[0]
	}
	a.take(body)
	for name, files := range r.MultipartForm.File {
		for _, file := range files {
			data, err := readPart(file)
			if err != nil {
				return unreadable(err)
			}
			switch strings.TrimRight(name, "[]0123456789") {
			case "image", "images":
				a.pictures = append(a.pictures, data)
			case "mask":
				a.mask = data
			default:
				a.errs.Add(name, "is a file; only image and mask are")
			}
		}
	}
	return nil
}

func readPart(file *multipart.FileHeader) ([]byte, error) {
	f, err := file.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return io.ReadAll(f)
}

// takeEdit reads the form of edits in JSON.
func (a *asked) takeEdit(r *http.Request) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return unreadable(err)
	}
	body, err := readObject(data)
	if err != nil {
		return unreadable(err)
	}
	list, _ := body["images"].([]any)
	if body["images"] != nil && list == nil {
		a.errs.Add("images", "must be a list")
	}
	for i, v := range list {
		data, err := pictureOf(v)
		if err != nil {
			a.errs.Add(fmt.Sprintf("images[%d]", i), "%v", err)
		}
		a.pictures = append(a.pictures, data)
	}
	if v := body["mask"]; v != nil {
		if a.mask, err = pictureOf(v); err != nil {
			a.errs.Add("mask", "%v", err)
		}
	}
	delete(body, "images")
	delete(body, "mask")
	a.take(body)
	return nil
}

// pictureOf reads a picture in JSON: a data URL, base64, or a table with image_url. The server fetches nothing.
func pictureOf(v any) ([]byte, error) {
	if table, ok := v.(map[string]any); ok {
		v = table["image_url"]
	}
	text, _ := v.(string)
	if strings.Contains(text[:min(len(text), 16)], "://") {
		return nil, fmt.Errorf("is a URL, and the server fetches none; give the picture's bytes as a data URL")
	}
	if rest, ok := strings.CutPrefix(text, "data:"); ok {
		_, text, _ = strings.Cut(rest, ",")
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(data) == 0 {
		return nil, fmt.Errorf("must be a data URL: data:image/png;base64, and the bytes in base64")
	}
	return data, nil
}

// startFrom puts the picture to edit, and its mask, into the run.
func (a *asked) startFrom() error {
	switch len(a.pictures) {
	case 0:
		a.errs.Add("image", "is missing; give the picture to edit")
		return nil
	case 1:
	default:
		a.errs.Add("image", "there are %d pictures; SDXL edits one", len(a.pictures))
		return nil
	}
	if len(a.errs) > 0 {
		return nil
	}
	img, err := picture.Decode(a.pictures[0], request.MaxPixels)
	if err != nil {
		return invalid("image", "%v", err)
	}
	mask := a.mask
	if mask == nil && hasHoles(img) {
		a.warn("the picture has transparent parts and there is no mask: these parts are repainted")
		mask = a.pictures[0]
	}
	a.run["init_image"] = studio.DataURL(a.pictures[0])
	if mask == nil {
		if _, given := a.run["strength"]; !given {
			if _, given = a.run["denoising_strength"]; !given {
				a.run["strength"] = editStrength
				a.warn("there is no mask: the whole picture is repainted with a strength of %v; give strength to change that", editStrength)
			}
		}
		return nil
	}
	return a.repaint(mask)
}

// repaint sets the mask: its transparent parts are repainted; without any, its white parts.
func (a *asked) repaint(mask []byte) error {
	img, err := picture.Decode(mask, request.MaxPixels)
	if err != nil {
		return invalid("mask", "%v", err)
	}
	channel := "alpha"
	if !hasHoles(img) {
		channel = "luma"
		a.warn("the mask has no transparent parts: its white parts are repainted")
	}
	a.run["mask_image"] = studio.DataURL(mask)
	if _, given := a.run["mask_channel"]; !given {
		a.run["mask_channel"] = channel
	}
	return nil
}

// hasHoles reports whether a picture has parts that are not opaque.
func hasHoles(img image.Image) bool {
	o, ok := img.(interface{ Opaque() bool })
	return ok && !o.Opaque()
}
