package service

import (
	"image"
	"os"
	"path/filepath"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// ListAdapters lists the adapter files in the folders of the current model.
func (s *Service) ListAdapters() (Adapters, error) {
	list := Adapters{[]Adapter{}}
	m, err := s.currentModel()
	if err != nil {
		return list, err
	}
	found, err := adapters.NewLibrary(m.LoRADirectories...).List()
	for _, a := range found {
		list.Adapters = append(list.Adapters, Adapter{Name: a.Name, Path: a.Path, Weight: 1, Enabled: true})
	}
	return list, err
}

// Controls lists preprocessors and ControlNets.
type Controls struct {
	Nets          []string       `json:"nets"` // files in the folders of the current model
	Preprocessors []Preprocessor `json:"preprocessors"`
}

// Preprocessor tells of a preprocessor.
type Preprocessor struct {
	Name    string `json:"name"`
	Doc     string `json:"doc"`
	Options any    `json:"options"`
}

// ListControls lists preprocessors and ControlNets.
func (s *Service) ListControls() (Controls, error) {
	list := Controls{Nets: []string{}}
	for _, p := range controlnet.Preprocessors {
		list.Preprocessors = append(list.Preprocessors, Preprocessor{p.Name, p.Doc, p.Options})
	}
	m, _ := s.currentModel() // without one there are no folders
	for _, dir := range m.ControlNetDirectories {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return list, &Error{Code: CodeBadFile, Message: err.Error()}
		}
		for _, e := range entries {
			list.Nets = append(list.Nets, filepath.Join(dir, e.Name()))
		}
	}
	return list, nil
}

// ControlMap makes the map that a net is given of a picture, as a PNG file. A size that is nil is the picture's. It warns of what was done
// with the picture's file otherwise than one may expect.
func ControlMap(unit request.ControlNet, width, height *int, warn func(text string)) (Picture, error) {
	net := controlnet.Net{Preprocessor: unit.Preprocessor, Resize: controlnet.ResizeMode(unit.ResizeMode), Options: unit.PreprocessorOptions,
		End: 1}
	var err error
	if unit.Image.Data != nil {
		net.Image, err = picture.Decode(unit.Image.Data, request.MaxPixels)
	} else {
		net.Image, err = picture.Read(unit.Image.Path, request.MaxPixels)
	}
	if err != nil {
		return Picture{}, &Error{Code: CodeBadFile, Message: "image: " + err.Error()}
	}
	for _, note := range picture.Notes(net.Image) {
		warn("image: " + note)
	}
	if err := net.Validate(); err != nil {
		return Picture{}, &Error{Code: CodeInvalid, Message: err.Error()}
	}
	size, err := mapSize(net.Image, width, height)
	if err != nil {
		return Picture{}, err
	}
	out, err := net.Map(size.X, size.Y)
	if err != nil {
		return Picture{}, err
	}
	data, err := imagefile.Encode(out, imagefile.PNG, imagefile.EncodeOptions{})
	return Picture{Width: size.X, Height: size.Y, Format: string(imagefile.PNG), Bytes: len(data), Data: data}, err
}

func mapSize(img image.Image, width, height *int) (image.Point, error) {
	size := img.Bounds().Size()
	var errs request.Errors
	for _, side := range []struct {
		given *int
		n     *int
		key   string
	}{{width, &size.X, "width"}, {height, &size.Y, "height"}} {
		if side.given == nil {
			continue
		}
		if *side.n = *side.given; *side.n < 1 || *side.n > request.MaxSide {
			errs.Add(side.key, "is %d; it must be 1 to %d", *side.n, request.MaxSide)
		}
	}
	return size, errs.Err()
}
