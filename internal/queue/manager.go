package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// DefaultQueueLimit is how many tasks may wait if Options does not say.
const DefaultQueueLimit = 10_000

// DefaultMaxBatch is the largest batch if Options does not say.
const DefaultMaxBatch = 16

// Retry says how often a task is tried again that failed, or that ran out of memory alone and with the highest relief.
type Retry struct {
	Attempts  int              // tries after the first one; 0: none
	Delay     time.Duration    // before the first of these; doubled for each next
	Retryable func(error) bool // which errors are worth another try; nil: all
}

// Options configures a Manager. The zero value works. Errors that match backend.ErrOutOfMemory make batches smaller.
type Options struct {
	QueueLimit int              // most tasks that wait; 0: DefaultQueueLimit. A larger job is taken if nothing else waits
	MaxBatch   int              // most tasks in a batch; 0: DefaultMaxBatch
	Retry      Retry            // of single tasks
	OnEvent    func(Event)      // told what happens, in order; it must be quick and must not call the Manager
	Paused     bool             // nothing is computed until Resume
	now        func() time.Time // in tests
}

// Manager is a queue of jobs and the Runners that work on it. Its methods may be called from any goroutine.
type Manager[T, R any] struct {
	opts   Options
	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	ended  sync.WaitGroup // the workers
	events sync.Mutex     // held while OnEvent runs

	mu      sync.Mutex
	wake    *sync.Cond          // something changed that a worker may wait for
	room    chan struct{}       // closed, and replaced, when tasks leave the queue
	jobs    []*Job[T, R]        // with unfinished tasks, by submission
	owners  map[string]*account // of those who have jobs, for fairness
	workers []*worker[T, R]
	waiting int // tasks queued
	paused  bool
	closed  bool
	nextJob int64
	batches int64
	stats   stats
}

// New makes a Manager that computes with the given Runners, at least one. The caller closes it; the Runners stay the caller's.
func New[T, R any](opts Options, runners ...Runner[T, R]) *Manager[T, R] {
	if opts.QueueLimit <= 0 {
		opts.QueueLimit = DefaultQueueLimit
	}
	if opts.MaxBatch <= 0 {
		opts.MaxBatch = DefaultMaxBatch
	}
	if opts.now == nil {
		opts.now = time.Now
	}
	m := &Manager[T, R]{opts: opts, owners: map[string]*account{}, room: make(chan struct{}), paused: opts.Paused}
	m.wake = sync.NewCond(&m.mu)
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.stats.began = opts.now()
	for _, r := range runners {
		w := &worker[T, R]{m: m, runner: r, sizes: map[string]*sizing{}}
		m.workers = append(m.workers, w)
	}
	for _, w := range m.workers {
		m.ended.Go(w.loop)
	}
	return m
}

// Submit queues a job. If the queue is full, it waits until there is room or ctx ends. The job does not depend on ctx.
func (m *Manager[T, R]) Submit(ctx context.Context, spec Spec[T, R]) (*Job[T, R], error) {
	for {
		job, room, err := m.submit(spec)
		if !errors.Is(err, ErrQueueFull) {
			return job, err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// TrySubmit is Submit without waiting: if there is no room, it returns ErrQueueFull.
func (m *Manager[T, R]) TrySubmit(spec Spec[T, R]) (*Job[T, R], error) {
	job, _, err := m.submit(spec)
	return job, err
}

func (m *Manager[T, R]) submit(spec Spec[T, R]) (*Job[T, R], <-chan struct{}, error) {
	n := len(spec.Tasks)
	if n == 0 {
		return nil, nil, ErrNoTasks
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, nil, ErrClosed
	case m.waiting > 0 && m.waiting+n > m.opts.QueueLimit:
		return nil, m.room, ErrQueueFull
	}
	m.nextJob++
	j := &Job[T, R]{m: m, id: m.nextJob, spec: spec, ended: make(chan struct{}), calls: make(chan struct{}, 1), open: n,
		counts: Status{Total: n, Queued: n}}
	for i, t := range spec.Tasks {
		it := &item[T, R]{task: t, job: j, index: i}
		j.items, j.waiting = append(j.items, it), append(j.waiting, it)
		m.stats.queuedCost += t.cost()
	}
	j.served = m.leastServed(spec.Priority)
	m.enter(j)
	m.jobs = append(m.jobs, j)
	m.waiting += n
	m.stats.Submitted += int64(n)
	if !spec.Deadline.IsZero() {
		j.timer = time.AfterFunc(spec.Deadline.Sub(m.opts.now()), func() { m.abort(context.DeadlineExceeded, j.items...) })
	}
	if len(m.workers) == 0 || m.allLost() {
		go m.abort(ErrRunnerLost, j.items...)
	}
	m.wake.Broadcast()
	return j, nil, nil
}

// leastServed is what a new job begins with, so that it does not go before all others until it has caught up.
func (m *Manager[T, R]) leastServed(priority int) float64 {
	least, found := 0.0, false
	for _, j := range m.jobs {
		if j.spec.Priority == priority && (!found || j.served < least) {
			least, found = j.served, true
		}
	}
	return least
}

// Pause lets running batches end. No other one begins until Resume.
func (m *Manager[T, R]) Pause() { m.setPaused(true) }

// Resume ends a Pause.
func (m *Manager[T, R]) Resume() { m.setPaused(false) }

func (m *Manager[T, R]) setPaused(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paused = on
	m.wake.Broadcast()
}

// Drain waits until no task is queued or running, or ctx ends.
func (m *Manager[T, R]) Drain(ctx context.Context) error {
	for {
		m.mu.Lock()
		if len(m.jobs) == 0 {
			m.mu.Unlock()
			return nil
		}
		first := m.jobs[0]
		m.mu.Unlock()
		select {
		case <-first.ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close gives up all unfinished tasks, stops the running batches and waits for them. It may be called again, but not from a callback.
func (m *Manager[T, R]) Close() {
	m.mu.Lock()
	m.closed = true
	jobs := slices.Clone(m.jobs)
	m.mu.Unlock()
	for _, j := range jobs {
		m.abort(ErrClosed, j.items...)
	}
	m.stop()
	m.mu.Lock()
	m.wake.Broadcast()
	m.mu.Unlock()
	m.ended.Wait()
}
