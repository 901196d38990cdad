package queue

import "context"

// Task is one picture to make, of what a Runner understands.
type Task[T any] struct {
	Key   string  // tasks with equal keys may be computed in one batch
	Label string  // Key for people, such as "512x512, 30 steps"; may be empty
	Cost  float64 // work, in any unit that is the same for all tasks; 0 counts as 1. Fairness and ETA go by it
	Steps int     // of the picture, for steps a second; may be 0
	Batch int     // tasks to begin with in a batch, where they fit; 0: a few, and more if that is faster. The first task of a Key decides
	Value T
}

func (t Task[T]) cost() float64 {
	if t.Cost > 0 {
		return t.Cost
	}
	return 1
}

// Relief is what a Runner is to do to need less memory than usual, once a single picture does not fit otherwise. Each level
// includes those before it.
type Relief int

// The levels of relief.
const (
	ReliefNone      Relief = iota
	ReliefTiling           // pictures through the VAE by tiles
	ReliefStreaming        // weights streamed, or staged from slower memory
)

// String names the level.
func (r Relief) String() string {
	switch r {
	case ReliefNone:
		return "none"
	case ReliefTiling:
		return "tiling"
	case ReliefStreaming:
		return "streaming"
	}
	return "unknown"
}

// Budget is how many tasks fit into one batch.
type Budget struct {
	Max int    // at least 1; 0 counts as 1
	Why string // in words, such as "memory budget 6.0 GiB"
}

// Usage is a measurement of memory.
type Usage struct {
	Used  int64 // bytes
	Limit int64 // 0: unknown
}

// Runner computes batches on one device or model handle. The Manager calls each Runner from one goroutine at a time, but for
// Memory, which may be called while Run runs.
type Runner[T, R any] interface {
	// Name tells Runners apart, in events and metrics.
	Name() string
	// Budget returns how many tasks with the key of this one fit into memory together. It is asked before every batch.
	Budget(ctx context.Context, task Task[T]) Budget
	// Run computes the batch's tasks and hands over each result with Deliver, and what fails for one task alone with Fail. An
	// error is about all tasks that neither was called for. No call may be made on b after Run has returned.
	Run(ctx context.Context, b *Batch[T, R]) error
	// Trim frees what can be had again: caches and buffers. It is called after a batch ran out of memory, and between batches
	// where Memory is above its limit.
	Trim(ctx context.Context) error
	// Memory measures what is in use now; the zero Usage where that cannot be told.
	Memory() Usage
	// MaxRelief is the highest level of relief that the Runner knows.
	MaxRelief() Relief
}

// Batch is what a Runner is asked to compute together: tasks with one key, perhaps of several jobs. Its methods may be called
// from any goroutine while Run runs.
type Batch[T, R any] struct {
	m      *Manager[T, R]
	w      *worker[T, R]
	items  []*item[T, R]
	relief Relief
	number int64
	why    string
	cancel context.CancelFunc
	steps  int // reported for the batch; guarded by the manager's mutex
}

// Len is the number of tasks.
func (b *Batch[T, R]) Len() int { return len(b.items) }

// Task returns task i.
func (b *Batch[T, R]) Task(i int) Task[T] { return b.items[i].task }

// Relief tells how much memory must be saved.
func (b *Batch[T, R]) Relief() Relief { return b.relief }

// Number counts the Manager's batches, from 1.
func (b *Batch[T, R]) Number() int64 { return b.number }

// Why tells in words how the batch came to its size.
func (b *Batch[T, R]) Why() string { return b.why }

// Live reports whether task i is still wanted. What is not need not be finished, but its cancelling must not change the others'
// results. When no task is wanted any more the context of Run is cancelled.
func (b *Batch[T, R]) Live(i int) bool {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	return b.items[i].state == running
}

// Deliver hands over the result of task i, at most once. It calls the job's OnResult and returns when that has returned. The
// result of a task that was cancelled is dropped.
func (b *Batch[T, R]) Deliver(i int, result R) { b.m.deliver(b, b.items[i], result) }

// Fail ends task i alone with an error, which counts as an attempt as an error of Run does.
func (b *Batch[T, R]) Fail(i int, err error) { b.m.failItem(b, b.items[i], err) }

// Step reports that each picture of the batch has so many steps behind it. It is cheap enough for every step.
func (b *Batch[T, R]) Step(done int) { b.m.step(b, done) }
