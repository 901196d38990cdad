package worker

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/words"
)

// DefaultStall is how long a client may read nothing after the context has ended, if the options do not say.
const DefaultStall = 5 * time.Second

// emitter writes events, each as one line with one call of Write. It is safe for concurrent use. After an error of the writer it
// writes nothing more and closes broken.
type emitter struct {
	now func() time.Time

	mu     sync.Mutex
	w      io.Writer
	failed bool
	broken chan struct{}

	since atomic.Pointer[time.Time] // when the current write began; nil: there is none
}

func newEmitter(w io.Writer, now func() time.Time) *emitter {
	return &emitter{w: w, now: now, broken: make(chan struct{})}
}

// eventHead begins every event.
type eventHead struct {
	ID    json.RawMessage `json:"id"`
	Event string          `json:"event"`
	Time  string          `json:"time"`
}

// line is the event's JSON with its end.
func (e event) line(now time.Time) ([]byte, error) {
	id := e.id
	if id == nil {
		id = json.RawMessage("null")
	}
	line, err := words.JoinJSON(eventHead{id, e.name, now.UTC().Format(time.RFC3339Nano)}, e.body)
	return append(e.casing.JSON(line, verbatimKeys...), '\n'), err
}

// verbatimKeys are keys of events under which the keys are names, such as names of files. They keep their spelling.
var verbatimKeys = []string{"block_weights", "ref", "id"}

func (w *emitter) emit(e event) {
	line, err := e.line(w.now())
	if err != nil { // for example a number that JSON does not have; the client must know
		line, _ = event{id: e.id, name: "error", casing: e.casing,
			body: errorOf(service.Errorf(service.CodeFailed, "this answer has no JSON: %v", err))}.line(w.now())
	}
	w.write(line)
}

func (w *emitter) write(line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed {
		return
	}
	now := time.Now()
	w.since.Store(&now)
	defer w.since.Store(nil)
	if _, err := w.w.Write(line); err != nil {
		w.failed = true
		close(w.broken)
	}
}

// blocked is how long the client has not read the line that is being written; 0: no line is being written.
func (w *emitter) blocked() time.Duration {
	if since := w.since.Load(); since != nil {
		return time.Since(*since)
	}
	return 0
}

// await waits for the end of serving and returns its error. After ctx has ended, it stops waiting for a client that reads nothing for the
// time stall. Events that are left then are lost.
func (w *emitter) await(ctx context.Context, stall time.Duration, served <-chan error) error {
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ended := time.Now()
	for {
		select {
		case err := <-served:
			return err
		case <-time.After(stall / 16):
			if min(w.blocked(), time.Since(ended)) > stall {
				return ctx.Err()
			}
		}
	}
}

// errorOf is the body of an event for an error.
func errorOf(e *service.Error) errorEvent {
	body := errorEvent{Code: e.Code, Message: e.Message, ExitCode: exitOf(e.Code), Fields: e.Fields}
	if e.Code == service.CodeDeadline {
		body.Message = "deadline_seconds ran out"
	}
	return body
}
