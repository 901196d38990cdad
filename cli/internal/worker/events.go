package worker

import (
	"time"

	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// Events lists the names of events.
var Events = []string{"hello", "accepted", "started", "progress", "preview", "image", "latents", "warning", "failed", "restarted",
	"error", "done"}

// minProgress is the least time between two progress events of a job.
const minProgress = 50 * time.Millisecond

// teller returns what writes the service's events of a message's request.
func (s *Server) teller(m *message) func(service.Event) {
	began := s.opts.Now()
	return func(e service.Event) {
		if name, body := s.translate(e, began); name != "" {
			s.out.emit(event{id: m.id, name: name, casing: m.casing, body: body})
		}
	}
}

// translate returns the name and the body of an event; without a name it is not told.
func (s *Server) translate(e service.Event, began time.Time) (name string, body any) {
	switch e := e.(type) {
	case service.Accepted:
		return "accepted", e
	case service.Started:
		return "started", e
	case service.Picture:
		return "image", e
	case service.Latents:
		return "latents", e
	case service.Warning:
		return "warning", e
	case service.Progress:
		if e.Stage == pipeline.StageDone {
			return "", nil
		}
		return "progress", progressEvent{Job: e.Job, Stage: string(e.Stage), Step: e.Step, Steps: e.Steps, Done: e.Done, Total: e.Total,
			Finished: e.Finished, Images: e.Images, Batch: e.Together, Seconds: s.opts.Now().Sub(began).Seconds(), ETASeconds: e.ETA.Seconds(),
			StepsPerSecond: e.StepsPerSec}
	case service.Preview:
		data, err := e.JPEG()
		if err != nil {
			return "", nil // the picture itself will tell
		}
		size := e.Image.Bounds().Size()
		return "preview", previewEvent{Job: e.Job, Index: e.Index, Step: e.Step, Format: "jpeg", Width: size.X, Height: size.Y, Data: data}
	case service.JobFailed:
		return "failed", failedEvent{e.Job, e.Index, errorOf(s.Explain(e.Err))}
	case service.Ended:
		if e.Err != nil {
			return "error", errorOf(s.Explain(e.Err))
		}
		return "done", doneEvent{e.Images, e.Failed, e.Seeds, e.Seconds, e.Result}
	}
	return "", nil
}
