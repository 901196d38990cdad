// Package openai is a server's face for clients of OpenAI's image API: /v1/images/generations, /v1/images/edits and /v1/models. What it
// takes, and what it does with each field, is in docs/serving-clients.md.
package openai

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/internal/words"
)

// The paths of this face.
const (
	pathGenerate  = "/v1/images/generations"
	pathEdit      = "/v1/images/edits"
	pathVariation = "/v1/images/variations"
	pathModels    = "/v1/models"
)

// Face is the face.
func Face() face.Face {
	return face.Face{Name: "openai", Register: register, Owns: owns, Refuse: refuse}
}

func owns(path string) bool {
	return strings.HasPrefix(path, "/v1/images/") || path == pathModels || strings.HasPrefix(path, pathModels+"/")
}

// server answers for a studio.
type server struct {
	s     *studio.Studio
	began time.Time
}

func register(mux *http.ServeMux, s *studio.Studio) {
	f := &server{s, time.Now()}
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"POST " + pathGenerate:      f.generate,
		"POST " + pathEdit:          f.edit,
		"POST " + pathVariation:     f.variation,
		"GET " + pathModels:         f.models,
		"GET " + pathModels + "/{}": f.model,
	} {
		mux.HandleFunc(strings.Replace(pattern, "{}", "{model...}", 1), func(w http.ResponseWriter, r *http.Request) {
			if err := handle(w, r); err != nil {
				refuse(w, r, face.Explain(r.Context(), err))
			}
		})
	}
}

// wireError is an error as OpenAI writes it.
type wireError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// wireErrorOf translates a problem.
func wireErrorOf(p *studio.Problem) (e wireError, status int) {
	status = face.Status(p.Kind)
	e = wireError{Message: p.Message, Type: "invalid_request_error", Code: &p.Code}
	code := func(text string) { e.Code = &text }
	switch p.Kind {
	case studio.Invalid, studio.Malformed:
		status = http.StatusBadRequest
	case studio.Unknown:
		code("invalid_api_key")
	case studio.TooMany:
		e.Type = "rate_limit_error"
		code("rate_limit_exceeded")
	case studio.Unavailable, "":
		e.Type = "server_error"
	}
	if len(p.Fields) > 0 {
		e.Param = &p.Fields[0].Path
	}
	return e, status
}

// refuse writes an error in OpenAI's form.
func refuse(w http.ResponseWriter, r *http.Request, p *studio.Problem) {
	e, status := wireErrorOf(p)
	face.RetryAfter(w.Header(), p)
	if p.Code != string(service.CodeQueueFull) && p.Kind != studio.TooMany && p.Kind != studio.Unavailable {
		w.Header().Set("X-Should-Retry", "false") // a run that has failed would fail again
	}
	face.WriteJSON(w, status, map[string]any{"error": e, "request_id": face.RequestID(r.Context())})
}

type wireModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func (f *server) wireModel(m studio.Model) wireModel {
	return wireModel{m.Name, "model", f.began.Unix(), "daguerre"}
}

func (f *server) models(w http.ResponseWriter, _ *http.Request) error {
	list := []wireModel{}
	for _, m := range f.s.Models() {
		list = append(list, f.wireModel(m))
	}
	face.WriteJSON(w, http.StatusOK, map[string]any{"object": "list", "data": list})
	return nil
}

func (f *server) model(w http.ResponseWriter, r *http.Request) error {
	m, err := f.find(r.PathValue("model"))
	if err == nil {
		face.WriteJSON(w, http.StatusOK, f.wireModel(m))
	}
	return err
}

// find finds a model by its name; none is the first.
func (f *server) find(name string) (studio.Model, error) {
	all := f.s.Models()
	var names []string
	for _, m := range all {
		if m.Name == name || name == "" {
			return m, nil
		}
		names = append(names, m.Name)
	}
	p := &studio.Problem{Kind: studio.NotFound, Code: "model_not_found", Message: "there is no model " + words.Clip(name) + " here" +
		words.DidYouMean(name, names) + "; GET /v1/models lists them, and the server can give a model any name: --model NAME=FILE"}
	p.Fields.Add("model", "%s", p.Message)
	return studio.Model{}, p
}

func (f *server) variation(http.ResponseWriter, *http.Request) error {
	return invalid("image", "variations are not offered; POST the picture to %s with a prompt", pathEdit)
}

// invalid is the problem of one field.
func invalid(field, format string, args ...any) error {
	p := &studio.Problem{Kind: studio.Invalid, Code: string(service.CodeInvalid)}
	p.Fields.Add(field, format, args...)
	p.Message = p.Fields.Error()
	return p
}

// unreadable is the problem of a body that cannot be read.
func unreadable(err error) error {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &studio.Problem{Kind: studio.TooLarge, Code: "too_large", Message: "the body has more than " + words.Bytes(large.Limit)}
	}
	return &studio.Problem{Kind: studio.Malformed, Code: string(service.CodeInvalid), Message: "the body cannot be read: " + err.Error()}
}
