package studio

import (
	"context"
	"encoding/json"
	"math"

	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// eventProgress is the event whose numbers are added up.
const eventProgress = "progress"

// together adds up what the workers of a divided run tell of their steps: each of them knows its own pictures only.
type together struct {
	images []int // pictures of each job; nil: they were not read yet
	last   map[part]dispatch.Progress
}

// part is what one worker makes of a job.
type part struct{ job, from int }

// divided is tell for a run: its progress is that of all its workers.
func (s *Studio) divided(ctx context.Context, owner, id string, tell func(Event) error) func(Event) error {
	all := &together{last: map[part]dispatch.Progress{}}
	return func(e Event) error {
		var p dispatch.Progress
		if e.Name != eventProgress || json.Unmarshal(e.Data, &p) != nil {
			return tell(e)
		}
		r, err := s.o.Queue.Summary(owner, id)
		if err != nil || len(r.Pieces) < 2 {
			all.last[part{p.Job, p.Piece}] = p
			return tell(e)
		}
		if all.images == nil {
			full, err := s.o.Queue.Look(ctx, owner, id)
			if err != nil {
				return tell(e)
			}
			all.images = imagesOf(full)
		}
		if data, err := json.Marshal(all.add(p, r.Pieces)); err == nil {
			e.Data = data
		}
		return tell(e)
	}
}

// imagesOf counts the pictures of each job of a run. One that is too long to be in the record counts as one job.
func imagesOf(r durable.Record) (list []int) {
	run, err := request.DecodeJSON(r.Run)
	if err != nil || len(run.Jobs) == 0 {
		return []int{r.Images}
	}
	for _, job := range run.Jobs {
		list = append(list, max(job.NumImages, 1))
	}
	return list
}

// add is how the job of p stands by all that was told.
func (t *together) add(p dispatch.Progress, pieces []durable.Piece) dispatch.Progress {
	t.last[part{p.Job, p.Piece}] = p
	if p.Job >= len(t.images) || p.Images == 0 {
		return p
	}
	each := p.Total / p.Images // steps of a picture
	first := 0
	for _, n := range t.images[:p.Job] {
		first += n
	}
	p.Images = t.images[p.Job]
	p.Done, p.Finished, p.Total = 0, 0, each*p.Images
	rate := 0.0 // steps a second of all workers
	for _, piece := range pieces {
		n := min(piece.To, first+p.Images) - max(piece.From, first)
		told, ok := t.last[part{p.Job, piece.From}]
		switch {
		case n <= 0:
		case piece.End != nil:
			p.Done += each * n
			p.Finished += n
		case ok:
			// What is there already is not made again.
			p.Done += told.Done + each*max(n-told.Images, 0)
			p.Finished += told.Finished + max(n-told.Images, 0)
			if told.ETASeconds > 0 {
				rate += float64(told.Total-told.Done) / told.ETASeconds
			}
		}
	}
	p.Done, p.Finished = min(p.Done, p.Total), min(p.Finished, p.Images)
	if p.ETASeconds = 0; rate > 0 {
		p.ETASeconds = math.Round(float64(p.Total-p.Done)/rate*10) / 10
	}
	return p
}
