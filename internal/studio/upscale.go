package studio

import (
	"context"
	"fmt"
	"image"

	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/words"
)

// Upscale enlarges a picture with an upscaler, by its name, and brings it to a size. It waits until nothing else computes outside the queue
// of runs.
func (s *Studio) Upscale(ctx context.Context, upscaler string, img image.Image, width, height int) (out image.Image, err error) {
	file, err := s.o.Catalog().Path(catalog.Upscaler, upscaler)
	if err != nil || s.o.Upscale == nil {
		return nil, &Problem{Kind: NotFound, Code: "not_found", Message: fmt.Sprintf("there is no upscaler %q here", words.Clip(upscaler))}
	}
	done := make(chan error, 1)
	err = s.o.Service.Compute(service.Ask{ID: "upscale." + durable.NewID(), Type: "upscale", Tell: func(e service.Event) {
		if e, ok := e.(service.Ended); ok {
			out, _ = e.Result.(image.Image)
			done <- e.Err
		}
	}}, func(computing context.Context, _ func(string)) (any, error) {
		computing, stop := context.WithCancel(computing)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		big, err := s.o.Upscale(computing, file, img)
		if err != nil {
			return nil, err
		}
		return image.Image(picture.Resize(big, width, height)), nil
	})
	if err == nil {
		err = <-done // which comes soon where ctx has ended
	}
	if err != nil && ctx.Err() == nil {
		if e := s.o.Service.Explain(err); e.Code == service.CodeBadFile {
			err = s.invalid(&Problem{Kind: Invalid, Code: string(e.Code), Message: e.Message})
		}
	}
	return out, err
}
