package service

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// Change changes an adapter of a job; a nil field stays as it is.
type Change struct {
	Name    string   `json:"name"`
	Job     *int     `json:"job"` // nil: the first
	Weight  *float64 `json:"weight"`
	UNet    *float64 `json:"unet_weight"`
	Text    *float64 `json:"text_encoder_weight"`
	Enabled *bool    `json:"enabled"`
}

// Same reports whether two changes are of the same adapter.
func (c Change) Same(other Change) bool {
	return strings.EqualFold(c.Name, other.Name) && jobOf(c.Job) == jobOf(other.Job)
}

// jobOf is a job's place in its order; nil is the first.
func jobOf(job *int) int {
	if job == nil {
		return 0
	}
	return *job
}

// Then is what c and a later change of the same adapter do together.
func (c Change) Then(next Change) Change {
	if next.Weight != nil {
		c.Weight, c.UNet, c.Text = next.Weight, nil, nil
	}
	c.UNet, c.Text, c.Enabled = cmp.Or(next.UNet, c.UNet), cmp.Or(next.Text, c.Text), cmp.Or(next.Enabled, c.Enabled)
	return c
}

// apply makes the change.
func (c Change) apply(a *lora.Adapter) {
	if c.Weight != nil {
		a.Weight, a.UNetWeight, a.TextEncoderWeight = c.Weight, nil, nil
	}
	a.UNetWeight, a.TextEncoderWeight = cmp.Or(c.UNet, a.UNetWeight), cmp.Or(c.Text, a.TextEncoderWeight)
	a.Enabled = cmp.Or(c.Enabled, a.Enabled)
}

// Adapter tells of an adapter.
type Adapter struct {
	Name              string   `json:"name"`
	Path              string   `json:"path,omitempty"`
	Weight            float64  `json:"weight"`
	UNetWeight        *float64 `json:"unet_weight,omitempty"`
	TextEncoderWeight *float64 `json:"text_encoder_weight,omitempty"`
	Enabled           bool     `json:"enabled"`
}

// Adapters is a list of adapters.
type Adapters struct {
	Adapters []Adapter `json:"adapters"`
}

// Adapt changes an adapter of a job, where c names one, and hands over the list of the job's adapters. A change acts on all that is
// computed later. It waits until the run's first jobs are ready to be queued, or the run has ended; changes are made in the order of the
// calls. One whose ctx has ended by then is not made.
func (r *Run) Adapt(ctx context.Context, c Change, answer func(Adapters, error)) {
	r.changing.Lock()
	defer r.changing.Unlock()
	change := func() {
		if ctx.Err() == nil {
			answer(r.adapt(c))
		}
	}
	if r.settled {
		change()
		return
	}
	r.changes = append(r.changes, change)
}

// settle makes the changes that waited. Nothing waits from then on.
func (r *Run) settle() {
	r.changing.Lock()
	defer r.changing.Unlock()
	r.settled = true
	for _, change := range r.changes {
		change()
	}
	r.changes = nil
}

func (r *Run) adapt(c Change) (list Adapters, err error) {
	handle, err := r.handle(jobOf(c.Job))
	if err != nil {
		return list, err
	}
	if c.Name != "" {
		switch err := handle.Update(c.Name, c.apply); {
		case errors.Is(err, pipeline.ErrNotRunning):
			return list, Errorf(CodeNotRunning, "the job has no adapters that could be changed, or has ended")
		case errors.Is(err, lora.ErrNotFound):
			return list, Errorf(CodeNotFound, "%v", err)
		case err != nil:
			return list, err
		}
	}
	list.Adapters = []Adapter{}
	for _, a := range handle.Stack().Adapters {
		full := a.Filled()
		list.Adapters = append(list.Adapters, Adapter{a.Label(), a.Path, *full.Weight, a.UNetWeight, a.TextEncoderWeight, *full.Enabled})
	}
	return list, nil
}

// handle returns what changes the adapters of a job. A job whose turn has not come is prepared for it.
func (r *Run) handle(job int) (*pipeline.LoRAHandle, error) {
	r.feeding.Lock()
	defer r.feeding.Unlock()
	r.mu.Lock()
	p, refused := r.parts[job], r.refused[job]
	r.mu.Unlock()
	switch {
	case p != nil:
		return &p.loras, nil
	case job < 0 || job >= len(r.Jobs) || refused || r.batcher == nil:
		return nil, errNotQueued(job)
	case job < r.next:
		return &pipeline.LoRAHandle{}, nil // it has ended
	}
	p, err := r.part(job)
	if err != nil {
		return nil, err
	}
	return &p.loras, nil
}

func errNotQueued(job int) error {
	return Errorf(CodeNotRunning, "job %d of this request is not in the queue", job)
}
