package service

import (
	"image"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Event is something that happened to an order. The types of this file are the events.
type Event any

type (
	// Accepted is the first event of an order that may take long.
	Accepted struct {
		Position int `json:"position"` // orders before it that have not ended
	}
	// Started tells that a job was begun with, or that a model is being opened.
	Started struct {
		Job     int              `json:"job"`
		Request *request.Request `json:"-"` // as it runs; nil for a model
	}
	// Progress is a step of a job. Previews come as events of their own.
	Progress struct {
		Job int
		pipeline.Progress
	}
	// Preview shows how a picture stands.
	Preview struct {
		Job, Index, Step int
		Name             string // of the picture's file, where it is to be one
		Image            image.Image
	}
	// Picture tells that a picture is finished.
	Picture struct {
		Job    int    `json:"job"`
		Index  int    `json:"index"`
		Seed   int64  `json:"seed"`
		Width  int    `json:"width"`
		Height int    `json:"height"`
		Format string `json:"format"`
		Bytes  int    `json:"bytes"`
		Path   string `json:"path,omitempty"` // where the Store keeps it
		Data   []byte `json:"data,omitempty"` // the file itself, where the Delivery wants it
	}
	// Latents tells that a job's final latents are kept.
	Latents struct {
		Job   int    `json:"job"`
		Path  string `json:"path"`
		Shape []int  `json:"shape"`
	}
	// Warning tells that something was done otherwise than one may expect; each once for a job.
	Warning struct {
		Job     int    `json:"job"`
		Message string `json:"message"`
	}
	// JobFailed tells that a picture, or a whole job, failed for good. The others go on.
	JobFailed struct {
		Job   int
		Index *int // of the picture; nil: the whole job
		Err   error
	}
	// JobEnded tells that nothing of a job is left to do.
	JobEnded struct {
		Job int
		Err error // of its pictures, as queue.JobError, or of preparing it
	}
	// Ended is the last event of an order.
	Ended struct {
		State   State
		Err     error // unless the State is Done
		Images  int
		Failed  int
		Seeds   []int64 // first of each job
		Seconds float64 // since it was accepted
		Result  any
	}
)

// JPEG encodes the preview.
func (p Preview) JPEG() ([]byte, error) {
	return imagefile.Encode(p.Image, imagefile.JPEG, imagefile.EncodeOptions{JPEGQuality: 80})
}
