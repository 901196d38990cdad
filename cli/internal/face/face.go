// Package face is what the HTTP faces of a server share: how each is added to the server, who asks, and how errors are written.
package face

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Face is an API, or a page. The server answers for all faces at once: it has checked the token, the limits of requests and of the body's
// size before a handler is called, and it has set the request's id.
type Face struct {
	Name string // for the log and the metrics
	// Register adds the face's handlers. Patterns are those of net/http: "POST /v1/images/generations".
	Register func(mux *http.ServeMux, s *studio.Studio)
	// Owns tells whether the errors that the server itself finds for a path, such as a missing token, are written by Refuse.
	Owns func(path string) bool
	// Refuse writes an error in the face's form; nil: WriteProblem.
	Refuse func(w http.ResponseWriter, r *http.Request, p *studio.Problem)
	// Open tells whether a path needs no token, such as the page's own files; nil: none is open. It must tell nothing of any run.
	Open func(path string) bool
}

type contextKey int

const (
	callerKey contextKey = iota
	requestKey
	logKey
)

// WithCaller notes who asks.
func WithCaller(ctx context.Context, c studio.Caller) context.Context {
	return context.WithValue(ctx, callerKey, c)
}

// Caller is who asks.
func Caller(ctx context.Context) studio.Caller {
	c, _ := ctx.Value(callerKey).(studio.Caller)
	return c
}

// WithRequest notes the id of an HTTP request, and the log that mentions it.
func WithRequest(ctx context.Context, id string, log *slog.Logger) context.Context {
	return context.WithValue(context.WithValue(ctx, requestKey, id), logKey, log)
}

// RequestID is the id of the HTTP request.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey).(string)
	return id
}

// Log is the log for what happens in an HTTP request.
func Log(ctx context.Context) *slog.Logger {
	if log, ok := ctx.Value(logKey).(*slog.Logger); ok {
		return log
	}
	return slog.New(slog.DiscardHandler)
}

// Status is the HTTP status of a kind of problem.
func Status(k studio.Kind) int {
	status, ok := map[studio.Kind]int{studio.Invalid: http.StatusUnprocessableEntity, studio.NotFound: http.StatusNotFound,
		studio.Conflict: http.StatusConflict, studio.Forbidden: http.StatusForbidden, studio.TooMany: http.StatusTooManyRequests,
		studio.TooLarge: http.StatusRequestEntityTooLarge, studio.Unavailable: http.StatusServiceUnavailable,
		studio.Unknown: http.StatusUnauthorized, studio.Malformed: http.StatusBadRequest,
		studio.WrongMethod: http.StatusMethodNotAllowed}[k]
	if !ok {
		return http.StatusInternalServerError
	}
	return status
}

// Details is an error as RFC 9457 has it (application/problem+json).
type Details struct {
	Type      string          `json:"type" doc:"about:blank"`
	Title     string          `json:"title" doc:"the status in words"`
	Status    int             `json:"status"`
	Detail    string          `json:"detail" doc:"what was found, and what would be right"`
	Code      string          `json:"code" doc:"the kind of the error, as in docs/worker.md"`
	Errors    []request.Error `json:"errors,omitempty" doc:"each mistake of a request: its path, and what is wrong"`
	RequestID string          `json:"request_id,omitempty" doc:"as in the server's log"`
}

// Explain sorts an error: a Problem stays; everything else is the server's fault, is logged, and tells the client nothing.
func Explain(ctx context.Context, err error) *studio.Problem {
	if p, ok := errors.AsType[*studio.Problem](err); ok {
		return p
	}
	if ctx.Err() != nil {
		return &studio.Problem{Kind: studio.Unavailable, Code: "cancelled", Message: "the client has gone, or the server ends"}
	}
	Log(ctx).Error("a request failed", "error", err)
	return &studio.Problem{Code: "failed", Message: "the server failed; its log tells more"}
}

// DetailsOf is a problem as it is written.
func DetailsOf(ctx context.Context, p *studio.Problem) Details {
	status := Status(p.Kind)
	return Details{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: p.Message, Code: p.Code, Errors: p.Fields,
		RequestID: RequestID(ctx)}
}

// WriteProblem answers with an error.
func WriteProblem(w http.ResponseWriter, r *http.Request, p *studio.Problem) {
	d := DetailsOf(r.Context(), p)
	w.Header().Set("Content-Type", "application/problem+json")
	RetryAfter(w.Header(), p)
	w.WriteHeader(d.Status)
	_ = json.NewEncoder(w).Encode(d) // the client may have gone
}

// RetryAfter sets the header that tells when to come again, where the problem passes.
func RetryAfter(h http.Header, p *studio.Problem) {
	if p.After > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.After+time.Second-1)/time.Second)))
	}
	if p.Kind == studio.Unknown {
		h.Set("WWW-Authenticate", "Bearer")
	}
}

// WriteJSON answers with a value.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

// PictureURL is where a picture is fetched, on this server.
func PictureURL(run string, job, index int) string {
	return "/v1/runs/" + run + "/pictures/" + strconv.Itoa(job) + "/" + strconv.Itoa(index)
}

// FileName is what a picture is called where it is saved.
func FileName(run string, p studio.Picture) string {
	ext := map[string]string{"jpeg": "jpg"}[p.Format]
	if ext == "" {
		ext = p.Format
	}
	return fmt.Sprintf("daguerre-%d-%s-%d-%d.%s", p.Seed, run[:min(len(run), 9)], p.Job, p.Index, ext)
}
