package a1111

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/studio"
)

// task is a run that a client of this server waits for.
type task struct {
	owner string
	job   string // what A1111 calls it
	run   studio.Run
	began time.Time
	batch int // pictures of a batch, as the client asked for

	mu          sync.Mutex
	last        dispatch.Progress
	preview     []byte
	interrupted bool
}

// begin notes that a client waits.
func (f *server) begin(owner, job string, run studio.Run, a *asked) *task {
	t := &task{owner: owner, job: job, run: run, began: time.Now(), batch: 1}
	if n, ok := number(a.parameters["batch_size"]); ok && n >= 1 {
		t.batch = int(n)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tasks[owner] = append(f.tasks[owner], t)
	return t
}

func (f *server) end(t *task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := slices.DeleteFunc(f.tasks[t.owner], func(other *task) bool { return other == t })
	if f.tasks[t.owner] = list; len(list) == 0 {
		delete(f.tasks, t.owner)
	}
}

// hear notes how the run stands.
func (t *task) hear(e studio.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var p dispatch.Preview
	switch e.Name {
	case "progress":
		return json.Unmarshal(e.Data, &t.last)
	case "preview":
		if err := json.Unmarshal(e.Data, &p); err != nil {
			return err
		}
		t.preview = p.Data
	}
	return nil
}

func (t *task) wasInterrupted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.interrupted
}

// currentTask is the one that the owner's clients have waited for the longest: those that run come first. nil: there is none.
func (f *server) currentTask(c studio.Caller) *task {
	f.mu.Lock()
	list := slices.Clone(f.tasks[c.Owner])
	f.mu.Unlock()
	for _, t := range list {
		if run, err := f.s.Status(c, t.run.ID); err == nil && run.State == durable.Running {
			return t
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

type wireState struct {
	Skipped       bool   `json:"skipped"`
	Interrupted   bool   `json:"interrupted"`
	Stopping      bool   `json:"stopping_generation"`
	Job           string `json:"job"`
	JobCount      int    `json:"job_count"`
	JobTimestamp  string `json:"job_timestamp"`
	JobNo         int    `json:"job_no"`
	SamplingStep  int    `json:"sampling_step"`
	SamplingSteps int    `json:"sampling_steps"`
}

type wireProgress struct {
	Progress float64   `json:"progress"`
	ETA      float64   `json:"eta_relative"`
	State    wireState `json:"state"`
	Image    *string   `json:"current_image"`
	Text     *string   `json:"textinfo"`
	Task     *string   `json:"current_task"`
}

// progress tells how the request stands that the client's owner waits for.
func (f *server) progress(r *http.Request, _ *told) (any, error) {
	c := face.Caller(r.Context())
	skip, _ := strconv.ParseBool(r.URL.Query().Get("skip_current_image"))
	t := f.currentTask(c)
	if t == nil {
		return f.progressElsewhere(r, c, skip), nil
	}
	preview := f.previewOf(r, c, t)
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.last
	out := wireProgress{Progress: 0.01, ETA: p.ETASeconds, Task: &t.run.ID, State: wireState{Interrupted: t.interrupted, Job: t.job,
		JobCount: max((t.run.Images+t.batch-1)/t.batch, 1), JobTimestamp: t.timestamp(), JobNo: p.Finished / t.batch,
		SamplingStep: p.Step, SamplingSteps: p.Steps}}
	if p.Total > 0 {
		out.Progress = min(0.01+float64(p.Done)/float64(p.Total), 1)
	}
	if preview != nil && !skip {
		text := base64.StdEncoding.EncodeToString(preview)
		out.Image = &text
	}
	return out, nil
}

// previewOf is the last preview of a task: one that came before this server listened is kept by the queue.
func (f *server) previewOf(r *http.Request, c studio.Caller, t *task) []byte {
	t.mu.Lock()
	data := t.preview
	t.mu.Unlock()
	if data == nil {
		data, _, _ = f.s.Preview(r.Context(), c, t.run.ID) // there may be none yet
	}
	return data
}

// progressElsewhere tells of a request that another server answers, or of none.
func (f *server) progressElsewhere(r *http.Request, c studio.Caller, skip bool) wireProgress {
	run, ok := f.running(c)
	if !ok {
		return wireProgress{}
	}
	out := wireProgress{Progress: 0.01, Task: &run.ID, State: wireState{Job: source, JobCount: max(run.Images, 1)}}
	if data, _, err := f.s.Preview(r.Context(), c, run.ID); err == nil && !skip {
		text := base64.StdEncoding.EncodeToString(data)
		out.Image = &text
	}
	return out
}

// running finds a run of this face that the caller waits for, at any server.
func (f *server) running(c studio.Caller) (studio.Run, bool) {
	const most = 1000
	list, _ := f.s.List(c, []durable.State{durable.Running, durable.Queued}, "", most)
	slices.Reverse(list) // the oldest first
	list = slices.DeleteFunc(list, func(run studio.Run) bool { return run.Source != source })
	i := slices.IndexFunc(list, func(run studio.Run) bool { return run.State == durable.Running })
	if len(list) == 0 {
		return studio.Run{}, false
	}
	return list[max(i, 0)], true
}

// interrupt gives up what is being made. Its client gets the pictures that are finished.
func (f *server) interrupt(r *http.Request, t *told) (any, error) {
	c := face.Caller(r.Context())
	id := ""
	if task := f.currentTask(c); task != nil {
		task.mu.Lock()
		task.interrupted = true
		task.mu.Unlock()
		id = task.run.ID
	} else if run, ok := f.running(c); ok {
		id = run.ID
	}
	if id == "" {
		t.warn("nothing is being made")
		return map[string]any{}, nil
	}
	t.run = id
	if _, err := f.s.Cancel(r.Context(), c, id); err != nil && face.Explain(r.Context(), err).Kind != studio.Conflict {
		return nil, err // a conflict: it has just ended
	}
	return map[string]any{}, nil
}

// skip gives up the picture that is being made, where it is the only one of its request.
func (f *server) skip(r *http.Request, t *told) (any, error) {
	c := face.Caller(r.Context())
	run, ok := f.running(c)
	if ok && run.Images > 1 {
		return nil, &studio.Problem{Kind: studio.Conflict, Code: "wrong_state",
			Message: "the request makes several pictures, and one of them cannot be given up alone; interrupt gives up all that are not finished"}
	}
	return f.interrupt(r, t)
}
