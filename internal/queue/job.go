package queue

import (
	"context"
	"time"
)

// Spec is a job as it is submitted.
type Spec[T, R any] struct {
	Name     string
	Tasks    []Task[T]
	Priority int       // higher goes first; jobs of one priority share fairly
	Deadline time.Time // zero: none. What is not finished by then fails with context.DeadlineExceeded
	// OnResult, where set, is given each result as soon as it exists; i is the task's index. Its error fails that task alone, for good.
	// Calls for one job do not overlap, and come from a goroutine of the Manager: a slow OnResult slows the work.
	OnResult func(i int, result R) error
	// OnError, where set, is told of each task that has failed for good, in the same way.
	OnError func(i int, err error)
}

type state int

const (
	queued state = iota
	running
	delivering // OnResult runs
	done
	failed
)

// item is a task in the queue. All but its task and its place are guarded by the manager's mutex.
type item[T, R any] struct {
	task  Task[T]
	job   *Job[T, R]
	index int

	state    state
	attempts int       // that failed, running out of memory not counted
	alone    bool      // to be tried by itself, since a batch with it failed
	trimmed  bool      // ran out of memory by itself, and was tried again after Trim
	relief   Relief    // at least
	after    time.Time // not before
	batch    *Batch[T, R]
}

// Job is a submitted job. Its methods may be called from any goroutine.
type Job[T, R any] struct {
	m     *Manager[T, R]
	id    int64
	spec  Spec[T, R]
	items []*item[T, R]
	ended chan struct{}
	timer *time.Timer
	calls chan struct{} // a token for one call of OnResult or OnError at a time

	// Guarded by the manager's mutex.
	waiting []*item[T, R] // queued ones in their order
	open    int           // tasks that are neither done nor failed
	counts  Status
	errs    []*TaskError
	served  float64 // cost of what was taken from it, for fairness
}

// Status is how far a job is.
type Status struct {
	Total    int
	Queued   int
	Running  int
	Finished int
	Failed   int // cancelled ones among them
}

// ID counts the Manager's jobs, from 1.
func (j *Job[T, R]) ID() int64 { return j.id }

// Name returns the name it was submitted with.
func (j *Job[T, R]) Name() string { return j.spec.Name }

// Done is closed when every task is finished or has failed, and no callback of the job runs any more.
func (j *Job[T, R]) Done() <-chan struct{} { return j.ended }

// Status tells how far the job is.
func (j *Job[T, R]) Status() Status {
	j.m.mu.Lock()
	defer j.m.mu.Unlock()
	return j.counts
}

// Wait waits for the end of the job. It returns nil where every task was finished, and a *JobError otherwise. When ctx ends
// first, its error is returned and the job goes on.
func (j *Job[T, R]) Wait(ctx context.Context) error {
	select {
	case <-j.ended:
		return j.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Err returns a *JobError if tasks have failed so far.
func (j *Job[T, R]) Err() error {
	j.m.mu.Lock()
	defer j.m.mu.Unlock()
	if len(j.errs) == 0 {
		return nil
	}
	return &JobError{Total: len(j.items), Tasks: append([]*TaskError(nil), j.errs...)}
}

// Cancel gives up all tasks that are not finished; their error is ErrCancelled. Computing that only they need is stopped.
func (j *Job[T, R]) Cancel() { j.m.abort(j, ErrCancelled, j.items...) }

// CancelTask gives up one task. Others of its batch are computed as if nothing had happened. It reports whether the task was
// still unfinished.
func (j *Job[T, R]) CancelTask(i int) bool {
	if i < 0 || i >= len(j.items) {
		return false
	}
	return j.m.abort(j, ErrCancelled, j.items[i]) > 0
}
