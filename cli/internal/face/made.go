package face

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/internal/words"
)

// File is a finished picture with the bytes of its file.
type File struct {
	studio.Picture
	Data []byte
}

// Await follows a run until it has ended, for a client that waits for it. hear is told of its events, from one goroutine. If the client
// goes away, the run is given up, unless it was submitted under a key: then the client may come again for it. warnings are those of the
// run, each once.
func Await(ctx context.Context, s *studio.Studio, run studio.Run, keyed bool, hear func(studio.Event) error) (end studio.Run,
	warnings []string, err error) {
	c := Caller(ctx)
	warnings = slices.Clone(run.Warnings)
	err = s.Follow(ctx, c, run.ID, 0, func(e studio.Event) error {
		var w dispatch.Warning
		if e.Name == "warning" && json.Unmarshal(e.Data, &w) == nil && !slices.Contains(warnings, w.Message) {
			warnings = append(warnings, w.Message)
		}
		if hear == nil {
			return nil
		}
		return hear(e)
	})
	if err != nil {
		if !keyed {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			if _, gone := s.Cancel(end, c, run.ID); gone != nil {
				Log(ctx).Info("a run that nobody waits for could not be cancelled", "run", run.ID, "error", gone)
			}
		}
		return run, warnings, err
	}
	end, err = s.Get(ctx, c, run.ID)
	if end.Failed > 0 && end.State == durable.Done {
		warnings = append(warnings, words.Plural(end.Failed, "picture")+" failed")
	}
	return end, warnings, err
}

// Failure is the problem of a run that made nothing; nil where it made something.
func Failure(run studio.Run) error {
	if run.State == durable.Done {
		return nil
	}
	p := &studio.Problem{Code: "failed", Message: "the run has failed"}
	if run.State == durable.Cancelled {
		p = &studio.Problem{Kind: studio.Conflict, Code: string(service.CodeCancelled), Message: "the run was cancelled"}
	}
	if e := run.Error; e != nil {
		p.Code, p.Message = e.Code, e.Message
		for _, f := range e.Fields {
			p.Fields.Add(f.Path, "%s", f.Message)
		}
	}
	switch service.Code(p.Code) {
	case service.CodeInvalid, service.CodeBadFile:
		p.Kind = studio.Invalid
	case service.CodeDeadline:
		p.Kind = studio.Conflict
	}
	return p
}

// Files reads the pictures of a run, in their order.
func Files(ctx context.Context, s *studio.Studio, run studio.Run) ([]File, error) {
	files := make([]File, 0, len(run.Pictures))
	for _, p := range run.Pictures {
		_, data, err := s.Bytes(ctx, Caller(ctx), run.ID, p.Job, p.Index)
		if err != nil {
			return nil, err
		}
		files = append(files, File{p, data})
	}
	return files, nil
}
