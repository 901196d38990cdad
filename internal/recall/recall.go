// Package recall reads the settings back that a picture's file carries: the manifest that this program writes, the text of AUTOMATIC1111's
// web UI and of programs that write like it, and ComfyUI's graphs where they are plain. What is read is a run like one of a run file.
// Everything that is not used is told in words.
package recall

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// MaxFileBytes is the largest picture file that is read for its texts.
const MaxFileBytes = 512 << 20

// ErrNothing matches the error of a picture that carries no settings.
var ErrNothing = errors.New("the file carries no settings")

// The programs whose texts are read.
const (
	Own     = "daguerre"
	A1111   = "AUTOMATIC1111"
	ComfyUI = "ComfyUI"
)

// Found is what a picture's file tells.
type Found struct {
	Program string      // that wrote it: Own, A1111 or ComfyUI
	Run     request.Run // of one job
	Notes   []string    // what is not used or has another name here, in words
	Differs []string    // why the picture will differ, or may
	Made    Made        // of Own

	parts []part // files of weights that the run names
	given []given
	needs []string // inputs that the picture was made from and does not name
}

// Made says what computed a picture of this program.
type Made struct {
	Release string `json:"version"`
	Engine  string `json:"engine"`
	Library string `json:"library"`
	Index   int    `json:"index"` // of the picture in its job
}

// part is a file of weights that a picture was made with.
type part struct {
	key   string   // of the run: model.vae, lora, controlnet, ip_adapter, image_encoder, embedding
	name  string   // as the run names it
	file  string   // the name of its file; "": not known
	sums  []string // digits that the SHA-256 of the file begins with, in lower case, or its AutoV3; of a folder none
	bytes int64    // of the file; 0: not known
	hub   string   // name that it was fetched by; "": not known
	whole []fileSum
}

// fileSum is a file of a diffusers folder.
type fileSum struct{ name, sum string }

// given is a picture or an array that a request was given.
type given struct {
	key, name, sum string
}

// note adds a line to what is told.
func (f *Found) note(format string, args ...any) {
	f.Notes = append(f.Notes, fmt.Sprintf(format, args...))
}

// differs adds a line to why the picture will differ.
func (f *Found) differs(format string, args ...any) {
	f.Differs = append(f.Differs, fmt.Sprintf(format, args...))
}

// notUsed tells of a field that is not used, and why.
func (f *Found) notUsed(field, value, why string) {
	text := "not used: " + field
	if value != "" {
		text += ": " + value
	}
	if why != "" {
		text += " (" + why + ")"
	}
	if strings.Contains(why, "will differ") {
		f.Differs = append(f.Differs, text)
		return
	}
	f.Notes = append(f.Notes, text)
}

// ReadFile is Read for a file.
func ReadFile(path string) (*Found, error) {
	data, err := regular.ReadFile(path, MaxFileBytes)
	if err != nil {
		return nil, regular.Missing(path, err)
	}
	f, err := Read(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Read reads the settings of a PNG file. A text of this program comes first, then AUTOMATIC1111's, then ComfyUI's. An error matches
// ErrNothing if there is no such text, imagefile.ErrFormat if the file is no PNG, and request.ErrInvalid if the text says what cannot be.
func Read(file []byte) (*Found, error) {
	texts, err := imagefile.ReadText(file)
	if err != nil {
		return nil, fmt.Errorf("%w; only PNG files carry settings that can be read", err)
	}
	has := map[string]string{}
	for _, t := range texts {
		if _, twice := has[t.Keyword]; !twice {
			has[t.Keyword] = t.Value
		}
	}
	switch {
	case has["daguerre"] != "":
		return fromManifest(has["daguerre"])
	case has["parameters"] != "":
		return fromInfotext(has["parameters"])
	case has["prompt"] != "" || has["workflow"] != "":
		return fromComfyUI(has["prompt"], has["workflow"])
	}
	return nil, fmt.Errorf("%w: it has neither a manifest of daguerre, nor AUTOMATIC1111's parameters, nor ComfyUI's graph. Programs that "+
		"send pictures on often remove them", ErrNothing)
}

// decodeRun makes a run of a [model] table and a job, as package request reads them from a file.
func decodeRun(model, job map[string]any) (request.Run, error) {
	text, err := json.Marshal(map[string]any{"model": model, "job": []any{job}})
	if err != nil {
		return request.Run{}, err
	}
	return request.DecodeJSON(text)
}
