package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/studio"
)

// heartbeat is how often something is sent to those who wait for events, so that nobody on the way closes the connection.
const heartbeat = 15 * time.Second

type eventsInput struct {
	RunRef
	Last  uint64 `header:"Last-Event-ID" doc:"the id of the last event that you have; what follows is sent"`
	After uint64 `query:"after" doc:"the same, for those who cannot set a header"`
}

// events adds the stream of a run's events.
func (a *api) events() {
	op := operation("get-events", http.MethodGet, "/v1/runs/{id}/events", "Follow a run by server-sent events", "runs", http.StatusNotFound,
		http.StatusUnprocessableEntity)
	op.Description = "The events of docs/worker.md. Kept events have an id; progress and preview have none and are not repeated. The " +
		"stream ends after done or error. 204: the run has ended, and you have all of it."
	op.Responses = map[string]*huma.Response{
		"200": {Description: "events", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}},
		"204": {Description: "nothing follows"},
	}
	huma.Register(a.h, op, func(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
		caller := face.Caller(ctx)
		if _, err := a.s.Status(caller, in.ID); err != nil {
			return nil, fail(ctx, err)
		}
		return &huma.StreamResponse{Body: func(c huma.Context) { a.stream(c, caller, in.ID, max(in.Last, in.After)) }}, nil
	})
}

// stream sends a run's events.
func (a *api) stream(c huma.Context, caller studio.Caller, id string, after uint64) {
	ctx, stop := context.WithCancel(c.Context())
	defer stop()
	out := &eventWriter{c: c, w: c.BodyWriter()}
	events, ended := make(chan studio.Event), make(chan error, 1)
	go func() {
		ended <- a.s.Follow(ctx, caller, id, after, func(e studio.Event) error {
			select {
			case events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		var err error
		select {
		case e := <-events:
			err = out.event(id, e)
		case <-tick.C:
			err = out.write([]byte(": still here\n\n"))
		case <-time.After(firstByte):
			if !out.begun {
				err = out.write([]byte(": it begins\n\n"))
			}
		case err := <-ended:
			if err == nil && !out.begun {
				c.SetStatus(http.StatusNoContent)
			} else if err != nil && ctx.Err() == nil {
				face.Log(ctx).Warn("events ended early", "run", id, "error", err)
			}
			return
		}
		if err != nil {
			return // the client has gone
		}
	}
}

// firstByte is after what time the answer begins although there is no event.
const firstByte = 100 * time.Millisecond

// eventWriter writes server-sent events.
type eventWriter struct {
	c     huma.Context
	w     io.Writer
	begun bool
}

func (w *eventWriter) event(run string, e studio.Event) error {
	data := withURL(run, e)
	var b bytes.Buffer
	if e.ID > 0 {
		fmt.Fprintf(&b, "id: %d\n", e.ID)
	}
	fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", e.Name, data)
	return w.write(b.Bytes())
}

// withURL adds where a picture can be fetched to the event that tells of it.
func withURL(run string, e studio.Event) []byte {
	if e.Name != "image" {
		return e.Data
	}
	var img struct {
		dispatch.Image
		URL string `json:"url"`
	}
	if json.Unmarshal(e.Data, &img) != nil {
		return e.Data
	}
	img.URL = face.PictureURL(run, img.Job, img.Index)
	data, err := json.Marshal(img)
	if err != nil {
		return e.Data
	}
	return data
}

func (w *eventWriter) write(data []byte) error {
	if !w.begun {
		w.begun = true
		w.c.SetHeader("Content-Type", "text/event-stream")
		w.c.SetHeader("Cache-Control", "no-store")
		w.c.SetStatus(http.StatusOK)
	}
	if _, err := w.w.Write(data); err != nil {
		return err
	}
	if rw, ok := w.w.(http.ResponseWriter); ok {
		return http.NewResponseController(rw).Flush()
	}
	return nil
}
