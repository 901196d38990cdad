package openai

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// The times of a stream: how often something is sent, so that nobody on the way closes the connection, and how long a client may take.
const (
	heartbeat = 15 * time.Second
	writeTime = 30 * time.Second
)

// wireEvent is a partial or finished picture.
type wireEvent struct {
	Type       string     `json:"type"`
	B64        []byte     `json:"b64_json"`
	Created    int64      `json:"created_at"`
	Size       string     `json:"size"`
	Quality    string     `json:"quality"`
	Background string     `json:"background"`
	Format     string     `json:"output_format"`
	Partial    *int       `json:"partial_image_index,omitempty"`
	Index      int        `json:"index"` // of the picture
	Seed       *int64     `json:"seed,omitempty"`
	Usage      *wireUsage `json:"usage,omitempty"`
	Warnings   []string   `json:"warnings,omitempty"`
}

// stream answers with events.
func (f *server) stream(w http.ResponseWriter, r *http.Request, a *asked, run studio.Run, kind string, keyed bool) error {
	out := &eventStream{w: w, control: http.NewResponseController(w)}
	face.WarnIn(w.Header(), append(a.warnings, run.Warnings...))
	if err := out.begin(); err != nil {
		return nil // the client has gone, and nothing can be written
	}
	ctx, stop := context.WithCancel(r.Context())
	var beating sync.WaitGroup
	beating.Go(func() { out.beat(ctx) })
	defer beating.Wait()
	defer stop()
	sent := map[int]int{} // partial pictures, by the picture's index
	warnings := append(a.warnings, run.Warnings...)
	hear := func(e studio.Event) error {
		switch e.Name {
		case "warning":
			var said dispatch.Warning
			if json.Unmarshal(e.Data, &said) == nil {
				warnings = append(warnings, said.Message)
			}
		case "preview":
			return f.partial(out, a, e, kind, sent)
		case "image":
			return f.completed(ctx, out, a, run, e, kind, warnings)
		}
		return nil
	}
	end, _, err := face.Await(ctx, f.s, run, keyed, hear)
	if err == nil {
		err = face.Failure(end)
	}
	if err != nil && ctx.Err() == nil {
		e, _ := wireErrorOf(face.Explain(ctx, err))
		_ = out.event("error", map[string]any{"error": e, "type": "error"}) // the client may have gone
	}
	return nil
}

func (a *asked) event(kind string) wireEvent {
	quality, size := a.spokenQuality(), a.size()
	if quality == "" {
		quality = "auto"
	}
	if size == "" {
		size = "auto"
	}
	return wireEvent{Type: kind, Created: time.Now().Unix(), Size: size, Quality: quality, Background: "opaque", Format: a.format}
}

// partial sends a preview as a partial picture, as many of each picture as were asked for.
func (f *server) partial(out *eventStream, a *asked, e studio.Event, kind string, sent map[int]int) error {
	var p dispatch.Preview
	if err := json.Unmarshal(e.Data, &p); err != nil || sent[p.Index] >= a.partial {
		return err
	}
	data := p.Data
	if a.format != p.Format {
		img, err := picture.Decode(p.Data, request.MaxPixels)
		if err != nil {
			return err
		}
		if data, err = imagefile.Encode(img, imagefile.Format(a.format), imagefile.EncodeOptions{}); err != nil {
			return err
		}
	}
	n := sent[p.Index]
	sent[p.Index]++
	event := a.event(kind + ".partial_image")
	event.B64, event.Partial, event.Index = data, &n, p.Index
	return out.event(event.Type, event)
}

// completed sends a finished picture.
func (f *server) completed(ctx context.Context, out *eventStream, a *asked, run studio.Run, e studio.Event, kind string,
	warnings []string) error {
	var i dispatch.Image
	if err := json.Unmarshal(e.Data, &i); err != nil {
		return err
	}
	_, data, err := f.s.Bytes(ctx, face.Caller(ctx), run.ID, i.Job, i.Index)
	if err != nil {
		return err
	}
	event := a.event(kind + ".completed")
	event.B64, event.Index, event.Seed, event.Usage, event.Warnings = data, i.Index, &i.Seed, &wireUsage{}, warnings
	event.Size = strconv.Itoa(i.Width) + "x" + strconv.Itoa(i.Height)
	return out.event(event.Type, event)
}

// eventStream writes server-sent events.
type eventStream struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s *eventStream) begin() error {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	s.w.WriteHeader(http.StatusOK)
	return s.write([]byte(": the run is queued\n\n"))
}

func (s *eventStream) event(name string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return s.write([]byte("event: " + name + "\ndata: " + string(data) + "\n\n"))
}

func (s *eventStream) write(data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTime)) // a writer that knows no deadlines has the connection's
	if _, err := s.w.Write(data); err != nil {
		return err
	}
	return s.control.Flush()
}

// beat sends comments until ctx ends.
func (s *eventStream) beat(ctx context.Context) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.write([]byte(": still here\n\n")) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
