// Package a1111 is a server's face for clients of AUTOMATIC1111's web API: /sdapi/v1/..., and the routes of its ControlNet extension. What
// it takes, and what it does with each field, is in docs/serving-clients.md.
package a1111

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/internal/words"
)

// The beginnings of the face's paths.
const (
	root    = "/sdapi/v1/"
	control = "/controlnet/"
)

// Face is the face.
func Face() face.Face {
	return face.Face{Name: "a1111", Register: register, Owns: owns, Refuse: refuse}
}

func owns(path string) bool {
	return strings.HasPrefix(path, root) || strings.HasPrefix(path, control)
}

// server answers for a studio.
type server struct {
	s *studio.Studio

	mu    sync.Mutex
	tasks map[string][]*task        // those that clients wait for, by owner, in their order
	set   map[string]map[string]any // settings that clients have set, by owner
}

// handler answers a request. What it returns is written as JSON.
type handler func(r *http.Request, t *told) (any, error)

// told is what an answer tells besides its contents.
type told struct {
	warnings []string
	run      string // id in the own API
}

func (t *told) warn(format string, args ...any) {
	t.warnings = append(t.warnings, fmt.Sprintf(format, args...))
}

func register(mux *http.ServeMux, s *studio.Studio) {
	f := &server{s: s, tasks: map[string][]*task{}, set: map[string]map[string]any{}}
	for pattern, handle := range f.routes() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			t := &told{}
			out, err := handle(r, t)
			if t.run != "" {
				w.Header().Set("Daguerre-Run", t.run)
			}
			if err != nil {
				refuse(w, r, face.Explain(r.Context(), err))
				return
			}
			face.WarnIn(w.Header(), t.warnings)
			face.WriteJSON(w, http.StatusOK, out)
		})
	}
}

func (f *server) routes() map[string]handler {
	routes := map[string]handler{
		"POST " + root + "txt2img":            f.textToImage,
		"POST " + root + "img2img":            f.imageToImage,
		"POST " + root + "extra-single-image": f.extraSingle,
		"POST " + root + "extra-batch-images": f.extraBatch,
		"POST " + root + "png-info":           f.pngInfo,
		"GET " + root + "progress":            f.progress,
		"POST " + root + "interrupt":          f.interrupt,
		"POST " + root + "skip":               f.skip,
		"GET " + root + "options":             f.getOptions,
		"POST " + root + "options":            f.setOptions,
		"GET " + root + "memory":              f.memory,
		"POST " + root + "interrogate":        notOffered("no model here describes pictures"),
		"POST " + control + "detect":          f.detect,
		root:                                  notFound,
		control:                               notFound,
	}
	for path, list := range f.lists() {
		routes["GET "+path] = list
	}
	for _, what := range []string{"checkpoints", "vae", "loras", "embeddings", "hypernetworks"} {
		routes["POST "+root+"refresh-"+what] = func(_ *http.Request, t *told) (any, error) {
			if what == "checkpoints" {
				t.warn("models are those that the server was started with; other files are found without a refresh")
			}
			return nil, nil
		}
	}
	return routes
}

func notOffered(why string) handler {
	return func(*http.Request, *told) (any, error) {
		return nil, &studio.Problem{Kind: studio.Invalid, Code: "not_offered", Message: why}
	}
}

func notFound(r *http.Request, _ *told) (any, error) {
	return nil, &studio.Problem{Kind: studio.NotFound, Code: "not_found", Message: "Not Found: " + r.Method + " " +
		words.Clip(r.URL.Path) + " is not offered; docs/serving-clients.md lists what is"}
}

// wireError is an error as A1111's server, and FastAPI below it, write it.
type wireError struct {
	Error  string `json:"error"`
	Detail any    `json:"detail"` // a text, or a list of mistakes
	Body   string `json:"body"`
	Errors string `json:"errors"`
	ID     string `json:"request_id,omitempty"`
}

type wireMistake struct {
	Loc  []string `json:"loc"`
	Msg  string   `json:"msg"`
	Type string   `json:"type"`
}

// refuse writes an error in A1111's form.
func refuse(w http.ResponseWriter, r *http.Request, p *studio.Problem) {
	e := wireError{Error: p.Code, Detail: p.Message, Errors: p.Message, ID: face.RequestID(r.Context())}
	if len(p.Fields) > 0 {
		var list []wireMistake
		for _, m := range p.Fields {
			list = append(list, wireMistake{[]string{"body", m.Path}, m.Message, "value_error"})
		}
		e.Detail = list
	}
	face.RetryAfter(w.Header(), p)
	if p.Kind == studio.Unknown {
		w.Header().Set("WWW-Authenticate", "Basic")
	}
	face.WriteJSON(w, face.Status(p.Kind), e)
}

// read reads a JSON object; numbers stay as they are written.
func read(r *http.Request) (map[string]any, error) {
	data, err := io.ReadAll(r.Body)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var table map[string]any
		if err = d.Decode(&table); err == nil && (table == nil || d.More()) {
			err = errors.New("expected one object")
		}
		if err == nil {
			return table, nil
		}
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &studio.Problem{Kind: studio.TooLarge, Code: "too_large", Message: "the body has more than " + words.Bytes(large.Limit)}
	}
	return nil, &studio.Problem{Kind: studio.Malformed, Code: string(service.CodeInvalid), Message: "the body cannot be read: " + err.Error()}
}

// invalid is the problem of one field.
func invalid(field, format string, args ...any) error {
	p := &studio.Problem{Kind: studio.Invalid, Code: string(service.CodeInvalid)}
	p.Fields.Add(field, format, args...)
	p.Message = p.Fields.Error()
	return p
}
