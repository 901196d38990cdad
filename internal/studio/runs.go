package studio

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// show is a record as its caller sees it.
func (s *Studio) show(c Caller, r durable.Record) Run {
	run := Run{ID: r.ID, State: r.State, Created: r.Created, Started: at(r.Started), Ended: at(r.Ended), Model: r.Model, Priority: r.Priority,
		Deadline: at(r.Deadline), Source: r.Source, Images: r.Images, Made: r.Made, Failed: r.Failed, Seeds: r.Seeds, Attempt: r.Attempts,
		Warnings: r.Warnings, Error: r.Error, Dead: r.Dead, Request: r.Run}
	if c.Admin {
		run.Owner = r.Owner
	}
	return run
}

func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// own finds a run that the caller may see.
func (s *Studio) own(c Caller, id string) (durable.Record, error) {
	if durable.IsID(id) {
		if r, err := s.o.Queue.Summary(c.Owner, id); err == nil {
			return r, nil
		}
		if c.Admin {
			if r, err := s.o.Queue.Find(id); err == nil {
				return r, nil
			}
		}
	}
	return durable.Record{}, &Problem{Kind: NotFound, Code: "not_found", Message: "there is no such run"}
}

// Get returns a run with its pictures and what was asked.
func (s *Studio) Get(ctx context.Context, c Caller, id string) (Run, error) {
	r, err := s.own(c, id)
	if err != nil {
		return Run{}, err
	}
	full, err := s.o.Queue.Look(ctx, r.Owner, id)
	if err != nil {
		return Run{}, explain(err)
	}
	if full.RunAt != "" {
		if full.Run, err = s.o.Store.Get(ctx, full.RunAt); err != nil {
			return Run{}, explain(err)
		}
	}
	run := s.show(c, full)
	if run.State == durable.Queued {
		n := s.o.Queue.Ahead(full)
		run.Ahead = &n
		return run, nil
	}
	run.Pictures, err = s.pictures(ctx, full)
	return run, err
}

// Status is Get without what has to be read: the run's pictures, and what was asked.
func (s *Studio) Status(c Caller, id string) (Run, error) {
	r, err := s.own(c, id)
	if err != nil {
		return Run{}, err
	}
	run := s.show(c, r)
	if run.State == durable.Queued {
		n := s.o.Queue.Ahead(r)
		run.Ahead = &n
	}
	return run, nil
}

// pictures lists the pictures of a run that are there, in their order.
func (s *Studio) pictures(ctx context.Context, r durable.Record) ([]Picture, error) {
	keys, err := s.o.Store.List(ctx, dispatch.PicturePrefix(r.Owner, r.ID))
	list := []Picture{}
	for _, key := range keys {
		if p, ok := dispatch.ParsePicture(key); ok && p.Job < len(r.Seeds) {
			list = append(list, Picture{Job: p.Job, Index: p.Index, Seed: r.Seeds[p.Job] + int64(p.Index), Format: p.Format, SHA256: p.Sum})
		}
	}
	slices.SortFunc(list, func(a, b Picture) int { return (a.Job-b.Job)<<20 + a.Index - b.Index })
	return slices.CompactFunc(list, func(a, b Picture) bool { return a.Job == b.Job && a.Index == b.Index }), explain(err)
}

// List returns runs without their pictures and what was asked, the newest first: those in one of the states where any is given. after is
// the next of the page before; empty: the first page. next is empty where there are no more.
func (s *Studio) List(c Caller, states []durable.State, after string, limit int) (out []Run, next string) {
	owner := c.Owner
	if c.Admin {
		owner = ""
	}
	out = []Run{}
	open := len(states) > 0 && !slices.ContainsFunc(states, durable.State.Ended)
	created, id := s.place(c, after)
	s.o.Queue.Newest(owner, open, created, id, func(r *durable.Record) bool {
		if len(states) > 0 && !slices.Contains(states, r.State) {
			return true
		}
		if len(out) == limit {
			next = placeOf(out[limit-1])
			return false
		}
		out = append(out, s.show(c, *r))
		return true
	})
	return out, next
}

// placeOf is the end of a page: where the next one begins, also if the run is removed meanwhile.
func placeOf(r Run) string { return r.ID + "." + strconv.FormatInt(r.Created.UnixNano(), 36) }

// place reads the end of a page, or the id of its last run.
func (s *Studio) place(c Caller, after string) (created time.Time, id string) {
	id, at, timed := strings.Cut(after, ".")
	if n, err := strconv.ParseInt(at, 36, 64); timed && err == nil {
		return time.Unix(0, n).UTC(), id
	}
	if r, err := s.own(c, id); err == nil {
		return r.Created, id
	}
	return time.Time{}, ""
}

// Wait waits until a run has ended, and returns it with its pictures.
func (s *Studio) Wait(ctx context.Context, c Caller, id string) (Run, error) {
	r, err := s.own(c, id)
	if err != nil {
		return Run{}, err
	}
	if _, err := s.o.Queue.Wait(ctx, r.Owner, id); err != nil {
		return Run{}, explain(err)
	}
	return s.Get(ctx, c, id)
}

// Follow tells the events of a run after the one with an ID, and those that come, until its last one or until ctx ends. tell is called from
// one goroutine; its error ends Follow.
func (s *Studio) Follow(ctx context.Context, c Caller, id string, after uint64, tell func(Event) error) error {
	r, err := s.own(c, id)
	if err != nil {
		return err
	}
	return explain(s.o.Queue.Follow(ctx, r.Owner, id, after, s.divided(ctx, r.Owner, id, tell)))
}

// Cancel gives a run up. One that is in work ends within a step or so.
func (s *Studio) Cancel(ctx context.Context, c Caller, id string) (Run, error) {
	r, err := s.own(c, id)
	if err != nil {
		return Run{}, err
	}
	r, err = s.o.Queue.Cancel(ctx, r.Owner, id)
	return s.show(c, r), explain(err)
}

// Remove forgets a run that has ended, with its pictures.
func (s *Studio) Remove(ctx context.Context, c Caller, id string) error {
	r, err := s.own(c, id)
	if err != nil {
		return err
	}
	if !r.State.Ended() {
		return &Problem{Kind: Conflict, Code: "wrong_state", Message: fmt.Sprintf("the run is %s; cancel it first", r.State)}
	}
	return s.remove(ctx, r)
}

func (s *Studio) remove(ctx context.Context, r durable.Record) error {
	if err := s.o.Store.Delete(ctx, dispatch.PicturePrefix(r.Owner, r.ID)); err != nil {
		return err
	}
	if r.RunAt != "" {
		if err := s.o.Store.Delete(ctx, r.RunAt); err != nil {
			return err
		}
	}
	return explain(s.o.Queue.Remove(ctx, r.Owner, r.ID))
}

// Prioritize changes the priority of a run that waits.
func (s *Studio) Prioritize(ctx context.Context, c Caller, id string, priority int) (Run, error) {
	r, err := s.own(c, id)
	if err != nil {
		return Run{}, err
	}
	var errs request.Errors
	if priority < durable.MinPriority || priority > durable.MaxPriority {
		errs.Add("priority", "is %d; it must be %d to %d", priority, durable.MinPriority, durable.MaxPriority)
	} else if p := c.Limits.Priority; p != nil && priority > *p {
		errs.Add("priority", "is %d; you may use %d and less", priority, *p)
	}
	if err := errs.Err(); err != nil {
		return Run{}, invalid(err)
	}
	r, err = s.o.Queue.Prioritize(ctx, r.Owner, id, priority)
	return s.show(c, r), explain(err)
}

// Resubmit queues a run again that has failed.
func (s *Studio) Resubmit(ctx context.Context, c Caller, id string) (Run, error) {
	r, err := s.own(c, id)
	if err != nil {
		return Run{}, err
	}
	r, err = s.o.Queue.Resubmit(ctx, r.Owner, id)
	return s.show(c, r), explain(err)
}

// Adapt changes the weight of an adapter of a run that has not ended. A change acts on all that is computed later. An adapter cannot be
// added: one that is to be switched on later is listed with the weight 0.
func (s *Studio) Adapt(ctx context.Context, c Caller, id string, change service.Change) (Run, error) {
	r, err := s.own(c, id)
	if err != nil {
		return Run{}, err
	}
	full, err := s.o.Queue.Get(ctx, r.Owner, id)
	if err != nil {
		return Run{}, explain(err)
	}
	if err := s.listed(ctx, full, change); err != nil {
		return Run{}, err
	}
	r, err = s.o.Queue.Remember(ctx, r.Owner, id, func(changes json.RawMessage) (json.RawMessage, error) {
		var list []service.Change
		if len(changes) > 0 {
			if err := json.Unmarshal(changes, &list); err != nil {
				return nil, err
			}
		}
		if i := slices.IndexFunc(list, change.Same); i >= 0 {
			list[i] = list[i].Then(change)
		} else {
			list = append(list, change)
		}
		return json.Marshal(list)
	})
	if err != nil {
		return Run{}, explain(err)
	}
	if err := s.o.Queue.SendChange(r.Owner, id, change); err != nil {
		return Run{}, err
	}
	return s.show(c, r), nil
}

// listed checks that the run has the adapter.
func (s *Studio) listed(ctx context.Context, r durable.Record, change service.Change) error {
	data := []byte(r.Run)
	if r.RunAt != "" {
		var err error
		if data, err = s.o.Store.Get(ctx, r.RunAt); err != nil {
			return explain(err)
		}
	}
	run, err := request.DecodeJSON(data)
	if err != nil {
		return err
	}
	job := 0
	if change.Job != nil {
		job = *change.Job
	}
	if job < 0 || job >= len(run.Jobs) {
		return &Problem{Kind: NotFound, Code: "not_found", Message: fmt.Sprintf("the run has no job %d", job)}
	}
	for _, a := range run.Jobs[job].LoRAs {
		if strings.EqualFold(a.Label(), change.Name) {
			return nil
		}
	}
	if strings.Contains(strings.ToLower(run.Jobs[job].Prompt), "<lora:"+strings.ToLower(change.Name)) {
		return nil
	}
	return &Problem{Kind: NotFound, Code: "not_found", Message: fmt.Sprintf("job %d of the run has no adapter %q", job, change.Name)}
}

// Open opens the file of a picture. The caller closes it.
func (s *Studio) Open(ctx context.Context, c Caller, id string, job, index int) (p Picture, file io.ReadCloser, size int64, err error) {
	r, err := s.own(c, id)
	if err != nil {
		return p, nil, 0, err
	}
	keys, err := s.o.Store.List(ctx, fmt.Sprintf("%s%d.%d.", dispatch.PicturePrefix(r.Owner, id), job, index))
	if err != nil {
		return p, nil, 0, explain(err)
	}
	if len(keys) == 0 || job >= len(r.Seeds) {
		return p, nil, 0, &Problem{Kind: NotFound, Code: "not_found",
			Message: fmt.Sprintf("there is no picture %d of job %d, or not yet", index, job)}
	}
	f, _ := dispatch.ParsePicture(keys[0])
	file, size, err = s.o.Store.Read(ctx, keys[0])
	return Picture{Job: job, Index: index, Seed: r.Seeds[job] + int64(index), Format: f.Format, SHA256: f.Sum}, file, size, explain(err)
}

// Bytes is Open for those who want the whole file.
func (s *Studio) Bytes(ctx context.Context, c Caller, id string, job, index int) (Picture, []byte, error) {
	p, file, _, err := s.Open(ctx, c, id, job, index)
	if err != nil {
		return p, nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	data, err := io.ReadAll(file)
	return p, data, err
}

// Manifest returns what a picture was made with, in JSON. Only PNG files that carry texts have it.
func (s *Studio) Manifest(ctx context.Context, c Caller, id string, job, index int) (json.RawMessage, error) {
	_, data, err := s.Bytes(ctx, c, id, job, index)
	if err != nil {
		return nil, err
	}
	texts, err := imagefile.ReadText(data)
	if err == nil {
		for _, t := range texts {
			if t.Keyword == "daguerre" {
				return json.RawMessage(t.Value), nil
			}
		}
	}
	return nil, &Problem{Kind: NotFound, Code: "not_found",
		Message: "the picture carries no manifest: only PNG files do, unless metadata is false"}
}

// Preview returns the last preview of a run that asked for previews, a JPEG file, and its number.
func (s *Studio) Preview(ctx context.Context, c Caller, id string) (file []byte, number string, err error) {
	r, err := s.own(c, id)
	if err != nil {
		return nil, "", err
	}
	file, number, err = s.o.Queue.Current(ctx, r.Owner, id)
	if err != nil {
		err = &Problem{Kind: NotFound, Code: "not_found", Message: "there is no preview of this run, or not yet"}
	}
	return file, number, err
}
