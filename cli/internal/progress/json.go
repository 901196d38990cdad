package progress

import (
	"io"
	"math"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/words"
)

// JSON is a Reporter that writes one JSON object per line: the fields "schema", "event" and "time"
// (RFC 3339, UTC) followed by the event's own.
type JSON struct {
	mu     sync.Mutex
	w      io.Writer
	now    func() time.Time
	closed bool
}

// NewJSON returns a Reporter that writes to w; now is the clock.
func NewJSON(w io.Writer, now func() time.Time) *JSON { return &JSON{w: w, now: now} }

type header struct {
	Schema int    `json:"schema"`
	Event  string `json:"event"`
	Time   string `json:"time"`
}

// Report writes the event as one line.
func (j *JSON) Report(e Event) {
	if s, ok := e.(Step); ok {
		s.Seconds, s.ETASeconds, s.StepsPerSecond = finite(s.Seconds), finite(s.ETASeconds), finite(s.StepsPerSecond)
		e = s
	}
	if o, ok := e.(Overall); ok {
		o.Seconds, o.ETASeconds, o.ImagesPerSecond, o.StepsPerSecond = finite(o.Seconds), finite(o.ETASeconds), finite(o.ImagesPerSecond),
			finite(o.StepsPerSecond)
		e = o
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return
	}
	line, err := words.JoinJSON(header{Schema, EventName(e), j.now().UTC().Format(time.RFC3339Nano)}, e)
	if err == nil {
		_, _ = j.w.Write(append(line, '\n')) // a reader that went away must not stop the work
	}
}

// finite replaces what JSON cannot hold by 0, "unknown".
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}

// Close drops later events.
func (j *JSON) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
}
