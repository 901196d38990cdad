package dispatch

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// The names of events. They are the worker's (docs/worker.md).
const (
	eventStarted  = "started"
	eventProgress = "progress"
	eventPreview  = "preview"
	eventImage    = "image"
	eventWarning  = "warning"
	eventFailed   = "failed"
)

// The bodies of events.
type (
	// Started tells that computing begins.
	Started struct {
		Job     int `json:"job"`
		Attempt int `json:"attempt"` // 1, unless a worker has died before
	}
	// Progress tells of a step. It is not kept.
	Progress struct {
		Job            int     `json:"job"`
		Stage          string  `json:"stage"` // text, encode, denoise or decode
		Step           int     `json:"step"`
		Steps          int     `json:"steps"`
		Done           int     `json:"done"`  // steps of the job's pictures
		Total          int     `json:"total"` // of these
		Finished       int     `json:"finished"`
		Images         int     `json:"images"`
		Piece          int     `json:"piece,omitempty"` // of a run that several workers make: the run's first picture that this one makes
		Batch          int     `json:"batch"`           // pictures computed together
		ETASeconds     float64 `json:"eta_seconds"`
		StepsPerSecond float64 `json:"steps_per_second"`
	}
	// Preview shows how a picture stands. It is not kept.
	Preview struct {
		Job    int    `json:"job"`
		Index  int    `json:"index"`
		Step   int    `json:"step"`
		Format string `json:"format"`
		Width  int    `json:"width"`
		Height int    `json:"height"`
		Data   []byte `json:"data"` // base64
	}
	// Image tells that a picture is finished and kept.
	Image struct {
		Job    int    `json:"job"`
		Index  int    `json:"index"`
		Seed   int64  `json:"seed"`
		Width  int    `json:"width"`
		Height int    `json:"height"`
		Format string `json:"format"`
		Bytes  int    `json:"bytes"`
		SHA256 string `json:"sha256"`
	}
	// Warning tells that something was done otherwise than one may expect.
	Warning struct {
		Job     int    `json:"job"`
		Message string `json:"message"`
	}
	// Failed tells that a picture, or a whole job, failed for good.
	Failed struct {
		Job   int  `json:"job"`
		Index *int `json:"index,omitempty"` // of the picture; absent: the whole job
		durable.Failure
	}
)

// imageKey is the service's key of the picture that an image event tells of.
func imageKey(data []byte) string {
	var e Image
	if json.Unmarshal(data, &e) != nil {
		return ""
	}
	return pictureKey(e.Job, e.Index)
}

// hear tells the queue what the service says of the run.
func (t *task) hear(e service.Event) {
	switch e := e.(type) {
	case service.Started:
		t.mu.Lock()
		t.started = true
		t.mu.Unlock()
		t.w.o.Log.Debug("begun", "run", t.ID, "piece", t.Piece.Claim, "job", e.Job, "images", t.sink.missing(e.Job))
		t.tell(eventStarted, "", Started{e.Job, t.Attempts})
	case service.Progress:
		t.w.o.Log.Debug("step", "run", t.ID, "piece", t.Piece.Claim, "job", e.Job, "done", e.Done, "total", e.Total)
		if e.Stage != pipeline.StageDone {
			t.show(eventProgress, Progress{Job: e.Job, Stage: string(e.Stage), Step: e.Step, Steps: e.Steps, Done: e.Done, Total: e.Total,
				Finished: e.Finished, Images: e.Images, Piece: t.Piece.From, Batch: e.Together,
				ETASeconds: e.ETA.Seconds(), StepsPerSecond: e.StepsPerSec})
		}
	case service.Preview:
		t.preview(e)
	case service.Picture:
		p, _ := ParsePicture(e.Path)
		t.tell(eventImage, "image."+pictureKey(e.Job, e.Index), Image{e.Job, e.Index, e.Seed, e.Width, e.Height, e.Format, e.Bytes, p.Sum})
	case service.Warning:
		t.tell(eventWarning, "", Warning{e.Job, t.w.o.Catalog().Hide(e.Message)})
	case service.JobFailed:
		if _, ok := errors.AsType[*service.StoreError](e.Err); !ok && t.stays() && !(t.w.tooLarge(e.Err) && t.w.other(&t.Record, t.Piece)) {
			t.tell(eventFailed, "", Failed{e.Job, e.Index, t.problem(e.Err)})
		}
	case service.Ended:
		go t.end(e)
	}
}

// stays reports whether what fails now has failed for good: the run was not given back.
func (t *task) stays() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.left == nil || errors.Is(t.left, errWanted)
}

func (t *task) preview(e service.Preview) {
	data, err := e.JPEG()
	if err != nil {
		return // the picture itself will tell
	}
	size := e.Image.Bounds().Size()
	t.show(eventPreview, Preview{e.Job, e.Index, e.Step, "jpeg", size.X, size.Y, data})
	if err := t.w.o.Queue.Preview(context.Background(), t.Owner, t.ID, data); err != nil {
		t.w.o.Log.Debug("a preview could not be kept", "run", t.ID, "error", err)
	}
}

func (t *task) tell(name, once string, body any) {
	if err := t.Tell(name, once, body); err != nil {
		t.w.o.Log.Warn("an event could not be told", "run", t.ID, "event", name, "error", err)
	}
}

func (t *task) show(name string, body any) {
	if err := t.w.o.Queue.Show(t.Owner, t.ID, name, body); err != nil {
		t.w.o.Log.Debug("an event could not be shown", "run", t.ID, "event", name, "error", err)
	}
}
