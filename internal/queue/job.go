package queue

import (
	"context"
	"slices"
	"time"
)

// Spec is a job as it is submitted.
type Spec[T, R any] struct {
	Name     string
	Owner    string // whose it is: owners share fairly, however many jobs each has
	Tasks    []Task[T]
	Priority int       // higher goes first; jobs of one priority share fairly
	Deadline time.Time // zero: none. What is not finished by then fails with context.DeadlineExceeded
	// OnResult, if it is set, gets each result as soon as it exists; i is the task's index. If it returns an error, that task has
	// failed for good. The calls of one job come one after the other. The Manager waits for them: a slow OnResult slows the work.
	OnResult func(i int, result R) error
	// OnError, if it is set, is told in the same way of each task that has failed for good.
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
	attempts int       // that failed, but not for memory
	alone    bool      // it gets a batch of its own, because a batch with it failed
	trimmed  bool      // it ran out of memory alone, and was tried again after Trim
	relief   Relief    // that it needs at least
	after    time.Time // it is not tried before then
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

// Wait waits for the end of the job. It returns nil if every task was finished, else a *JobError. If ctx ends first, it returns
// the error of ctx, and the job goes on.
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
	return &JobError{Total: len(j.items), Tasks: slices.Clone(j.errs)}
}

// Cancel gives up all unfinished tasks with ErrCancelled. Batches that only they need are stopped.
func (j *Job[T, R]) Cancel() { j.m.abort(ErrCancelled, j.items...) }

// CancelTask gives up one task. The others of its batch go on as before. It reports whether the task was unfinished.
func (j *Job[T, R]) CancelTask(i int) bool {
	if i < 0 || i >= len(j.items) {
		return false
	}
	return j.m.abort(ErrCancelled, j.items[i]) > 0
}
