package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// api is the own API: each operation is read, given to the studio, and written. Its document, GET /v1/openapi.json, is made from the same
// types.
type api struct {
	s *studio.Studio
	h huma.API
}

// problem is an error on its way out.
type problem struct {
	face.Details
	header http.Header
}

func (p *problem) Error() string  { return p.Detail }
func (p *problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return "application/problem+json" }

// MarshalJSON writes the details alone.
func (p *problem) MarshalJSON() ([]byte, error) { return json.Marshal(p.Details) }

// fail turns an error into an answer.
func fail(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	p := face.Explain(ctx, err)
	out := &problem{Details: face.DetailsOf(ctx, p), header: http.Header{}}
	face.RetryAfter(out.header, p)
	return out
}

// What huma itself finds wrong is written as our own errors are.
func init() {
	huma.NewErrorWithContext = func(c huma.Context, status int, message string, errs ...error) huma.StatusError {
		out := &problem{Details: face.Details{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: message,
			Code: string(codeOf(status))}}
		if c != nil {
			out.RequestID = face.RequestID(c.Context())
		}
		for _, err := range errs {
			if d, ok := err.(huma.ErrorDetailer); ok {
				e := d.ErrorDetail()
				out.Errors = append(out.Errors, request.Error{Path: placeOf(e.Location), Message: e.Message})
			} else if err != nil {
				out.Detail += ": " + err.Error()
			}
		}
		return out
	}
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return huma.NewErrorWithContext(nil, status, message, errs...)
	}
}

// placeOf is where huma found a mistake, without the part of the request that it is in.
func placeOf(location string) string {
	for _, part := range []string{"body.", "path.", "query.", "header."} {
		if rest, ok := strings.CutPrefix(location, part); ok {
			return rest
		}
	}
	return location
}

func codeOf(status int) string {
	switch {
	case status == http.StatusNotFound:
		return "not_found"
	case status == http.StatusRequestEntityTooLarge:
		return "too_large"
	case status < 500:
		return "invalid_request"
	}
	return "failed"
}

// newAPI adds the own API to a mux.
func newAPI(mux *http.ServeMux, s *studio.Studio, version string, maxBody int64) *api {
	config := huma.DefaultConfig("Daguerre", version)
	config.Info.Description = apiText
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "/v1/openapi", "", "" // the document is at /v1/openapi.json
	config.CreateHooks = nil                                                        // no links to schemas in answers
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer",
		Description: "a token of --token-file; none is needed where the server has no such file"}}
	config.Security = []map[string][]string{{"token": {}}}
	a := &api{s: s, h: humago.New(mux, config)}
	a.runs(maxBody)
	a.pictures()
	a.lists(maxBody)
	a.fleet()
	a.inspect(maxBody)
	return a
}

const apiText = `Runs are submitted, followed by events, and their pictures are fetched by URL. docs/api.md has examples. A run is ` +
	`written as docs/requests.md describes; diffusers' and A1111's names of keys are understood, too.`

// operation describes an operation; errors lists the statuses of its errors besides those that each may have.
func operation(id, method, path, summary, tag string, errors ...int) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tag},
		Errors: append([]int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden,
			http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}, errors...)}
}
