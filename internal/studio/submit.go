package studio

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// maxKey is the longest idempotency key, in bytes.
const maxKey = 255

// Submit queues a run. It is kept when Submit returns. fresh is false where the key is that of a run that is there already.
func (s *Studio) Submit(ctx context.Context, c Caller, sub Submission) (run Run, fresh bool, err error) {
	r, err := s.record(ctx, c, sub)
	if err != nil {
		return run, false, err
	}
	if sub.Key == "" {
		if err := s.admit(c); err != nil {
			return run, false, err
		}
	} else if _, err := s.o.Queue.Summary(c.Owner, r.ID); err != nil { // it is a new one
		if err := s.admit(c); err != nil {
			return run, false, err
		}
	}
	kept, fresh, err := s.o.Queue.Submit(ctx, r, sub.Key != "")
	if err != nil {
		return run, false, explain(err)
	}
	return s.show(c, kept), fresh, nil
}

// record reads a submission.
func (s *Studio) record(ctx context.Context, c Caller, sub Submission) (r durable.Record, err error) {
	var errs request.Errors
	if len(sub.Key) > maxKey {
		errs.Add("Idempotency-Key", "is longer than %d bytes", maxKey)
	}
	if sub.Priority < durable.MinPriority || sub.Priority > durable.MaxPriority {
		errs.Add("priority", "is %d; it must be %d to %d", sub.Priority, durable.MinPriority, durable.MaxPriority)
	}
	if sub.Deadline < 0 || sub.Deadline > maxDeadline {
		errs.Add("deadline_seconds", "is %g; it must be above 0 and at most %g", sub.Deadline.Seconds(), maxDeadline.Seconds())
	}
	if err := errs.Err(); err != nil {
		return r, invalid(err)
	}
	known := s.o.Catalog()
	if len(known.Models()) == 0 { // an API node of a fleet that has not heard of any
		return r, &Problem{Kind: Unavailable, Message: "no worker has told its models yet", After: 2 * durable.PresentEvery}
	}
	run, m, notes, err := known.Decode(sub.Body)
	if err != nil {
		return r, invalid(err)
	}
	if s.o.Check != nil {
		if s.o.Check(run, &errs); errs.Err() != nil {
			return r, invalid(errs)
		}
	}
	if err := s.allow(c, sub, run); err != nil {
		return r, err
	}
	if err := s.keepInputs(ctx, c, &run); err != nil {
		return r, err
	}
	r = durable.Record{ID: durable.NewID(), Owner: c.Owner, Model: m.Name, Priority: sub.Priority, Source: sub.Source,
		Warnings: append(notes, run.Notes...)}
	if sub.Key != "" {
		r.ID, r.Digest = durable.KeyedID(c.Owner, sub.Key), digest(sub)
	}
	if sub.Deadline > 0 {
		r.Deadline = s.o.Now().Add(sub.Deadline).UTC()
	}
	for _, job := range run.Jobs {
		r.Images += max(job.NumImages, 1)
		r.Seeds = append(r.Seeds, job.Seed)
	}
	if r.Options, err = json.Marshal(dispatch.Settings{Format: sub.Format, Previews: sub.Previews}); err != nil {
		return r, err
	}
	data, err := run.EncodeJSON(request.SnakeCase)
	if err != nil {
		return r, err
	}
	if len(data) <= durable.MaxRun {
		r.Run = data
		return r, nil
	}
	r.RunAt = "runs/" + c.Owner + "/" + r.ID + ".json"
	return r, s.o.Store.Put(ctx, r.RunAt, data)
}

// maxDeadline is the longest time that a run may be given.
const maxDeadline = 365 * 24 * time.Hour

// digest tells what is asked from other things that may be asked under the same key.
func digest(sub Submission) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%d %s %s %d ", sub.Priority, sub.Deadline, sub.Format, sub.Previews)
	sum.Write(sub.Body)
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// keepInputs puts the pictures that came with a run into the store.
func (s *Studio) keepInputs(ctx context.Context, c Caller, run *request.Run) error {
	return catalog.Inputs(run, func(at string, p *request.Picture) error {
		if p.Data == nil {
			return s.known(ctx, c, at, p.Path)
		}
		id, err := s.Upload(ctx, c, p.Data)
		*p = request.Picture{Path: catalog.UploadScheme + id}
		return err
	}, func(at string, a *request.Array) error { return s.known(ctx, c, at, a.Path) })
}

// known checks that an upload is there.
func (s *Studio) known(ctx context.Context, c Caller, at, path string) error {
	if len(path) <= len(catalog.UploadScheme) {
		return nil
	}
	ok, err := s.o.Store.Has(ctx, dispatch.UploadKey(c.Owner, path[len(catalog.UploadScheme):]))
	if err == nil && !ok {
		err = invalid(request.Errors{{Path: at, Message: "there is no such upload; POST it to /v1/uploads first"}})
	}
	return err
}

// Upload keeps a file for runs of the caller, and returns its id: "upload:" and the id stand for it in a run.
func (s *Studio) Upload(ctx context.Context, c Caller, data []byte) (id string, err error) {
	sum := sha256.Sum256(data)
	id = hex.EncodeToString(sum[:])
	key := dispatch.UploadKey(c.Owner, id)
	if ok, err := s.o.Store.Has(ctx, key); ok || err != nil {
		return id, err
	}
	return id, s.o.Store.Put(ctx, key, data)
}

// DataURL writes a file's bytes as runs take them.
func DataURL(data []byte) string { return "data:;base64," + base64.StdEncoding.EncodeToString(data) }

// admit checks how many runs are unfinished.
func (s *Studio) admit(c Caller) error {
	mine, all := s.o.Queue.Unfinished(c.Owner)
	switch {
	case c.Limits.Pending > 0 && mine >= c.Limits.Pending:
		return &Problem{Kind: TooMany, Code: string(service.CodeQueueFull), After: time.Second,
			Message: fmt.Sprintf("%d runs of yours have not ended, and you may have no more; wait for some to end", mine)}
	case all >= s.o.Limit:
		return &Problem{Kind: TooMany, Code: string(service.CodeQueueFull), After: 5 * time.Second,
			Message: fmt.Sprintf("%d runs have not ended, and the server takes no more; wait for some to end", all)}
	}
	return nil
}

// allow checks that a run is within the caller's limits.
func (s *Studio) allow(c Caller, sub Submission, run request.Run) error {
	var errs request.Errors
	l, images := c.Limits, 0
	for i, job := range run.Jobs {
		images += max(job.NumImages, 1)
		for key, n := range map[string]int{"num_inference_steps": cmp.Or(job.NumInferenceSteps, request.DefaultNumInferenceSteps),
			"refiner_steps": job.RefinerSteps, "hires.steps": job.Hires.Steps} {
			if l.Steps > 0 && n > l.Steps {
				errs.Add(run.Path(i, key), "is %d; you may take %d", n, l.Steps)
			}
		}
		if n := pixels(job); l.Pixels > 0 && n > l.Pixels {
			errs.Add(run.Path(i, "width"), "the picture has %d pixels; you may make %d", n, l.Pixels)
		}
	}
	if l.Images > 0 && images > l.Images {
		errs.Add(run.Path(0, "num_images"), "the run has %d pictures; you may make %d in one", images, l.Images)
	}
	if l.Priority != nil && sub.Priority > *l.Priority {
		errs.Add("priority", "is %d; you may use %d and less", sub.Priority, *l.Priority)
	}
	return invalid(errs.Err())
}

// pixels is how many pixels a job's pictures have in their largest pass. What is not said is the model's own size, or that of a picture
// that was sent, which the upload's limits bound.
func pixels(job request.Request) int64 {
	n := int64(job.Width) * int64(job.Height)
	if job.Hires.On() && job.Width > 0 && job.Height > 0 {
		w, h := job.Hires.Size(job.Width, job.Height, 8)
		n = max(n, int64(w)*int64(h))
	}
	return n
}
