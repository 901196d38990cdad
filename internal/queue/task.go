package queue

import "context"

// Task is one picture to make. The Runner knows what Value means.
type Task[T any] struct {
	Key   string  // tasks with equal keys may be computed in one batch
	Label string  // the Key in words, such as "512x512, 30 steps"; may be empty
	Cost  float64 // work, in any unit; 0 counts as 1. Fairness and the ETA use it
	Steps int     // of the picture, for steps a second; may be 0
	Batch int     // size of the first batch, if it fits; 0: a few. The first task of a Key decides
	Value T
}

func (t Task[T]) cost() float64 {
	if t.Cost > 0 {
		return t.Cost
	}
	return 1
}

// Relief says how a Runner saves memory when even a single picture does not fit. Each level includes those before it.
type Relief int

// The levels of relief.
const (
	ReliefNone      Relief = iota
	ReliefTiling           // the VAE works by tiles
	ReliefStreaming        // weights are streamed, or loaded in turn
)

// String names the level.
func (r Relief) String() string {
	if names := [...]string{"none", "tiling", "streaming"}; r >= 0 && int(r) < len(names) {
		return names[r]
	}
	return "unknown"
}

// Budget says how many tasks fit into one batch.
type Budget struct {
	Max int    // at least 1; 0 counts as 1
	Why string // in words, such as "memory budget 6.0 GiB"
}

// Usage is a measurement of memory.
type Usage struct {
	Used  int64 // bytes
	Limit int64 // 0: unknown
}

// Runner computes batches on one device. The Manager calls it from one goroutine at a time, except for Memory, which may be called
// while Run runs.
type Runner[T, R any] interface {
	// Name tells Runners apart, in events and metrics.
	Name() string
	// Budget returns how many tasks with the key of this one fit into memory together. It is asked before every batch.
	Budget(ctx context.Context, task Task[T]) Budget
	// Run computes the tasks of the batch. It calls Deliver with each result, and Fail for a task that fails alone. Its error is
	// about all other tasks. After Run has returned nothing may be called on b.
	Run(ctx context.Context, b *Batch[T, R]) error
	// Trim frees caches and buffers. It is called after a batch ran out of memory, and between batches if Memory is above its
	// limit.
	Trim(ctx context.Context) error
	// Memory measures what is in use now. The zero Usage means that it cannot be measured.
	Memory() Usage
	// MaxRelief is the highest level of relief that the Runner knows.
	MaxRelief() Relief
}

// Batch has the tasks that a Runner computes together. They have one key, and may be of several jobs. Any goroutine may call its
// methods while Run runs.
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

// Relief tells how the Runner must save memory.
func (b *Batch[T, R]) Relief() Relief { return b.relief }

// Number counts the Manager's batches, from 1.
func (b *Batch[T, R]) Number() int64 { return b.number }

// Why tells in words how the batch came to its size.
func (b *Batch[T, R]) Why() string { return b.why }

// Live reports whether task i is still wanted. If it is not, the Runner may leave it out, but the results of the others must stay
// the same. When no task is wanted any more, the context of Run is cancelled.
func (b *Batch[T, R]) Live(i int) bool {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	return b.items[i].state == running
}

// Deliver hands over the result of task i, once. It calls the job's OnResult and waits for it. The result of a cancelled task is
// dropped.
func (b *Batch[T, R]) Deliver(i int, result R) {
	m, it := b.m, b.items[i]
	m.mu.Lock()
	if it.state != running || it.batch != b {
		m.mu.Unlock()
		return
	}
	it.state = delivering
	m.mu.Unlock()
	if f := it.job.spec.OnResult; f != nil {
		if err := it.job.call(func() error { return f(it.index, result) }); err != nil {
			m.failForGood(b, it, err)
			return
		}
	}
	m.event(Event{Kind: TaskDone, Worker: b.w.runner.Name(), Batch: b.number, Job: it.job.id, Task: it.index})
	m.mu.Lock()
	it.state = done
	it.job.counts.Running--
	it.job.counts.Finished++
	b.w.pleased++
	m.stats.Finished++
	m.stats.images.add(1, m.opts.now())
	m.stats.cost.add(it.task.cost(), m.opts.now())
	m.settle(it)
	m.mu.Unlock()
}

// Fail ends task i with an error. As with an error of Run, the task may be tried again.
func (b *Batch[T, R]) Fail(i int, err error) { b.m.failItem(b, b.items[i], err) }

// Step reports how many steps of each picture are done. It is cheap enough for every step.
func (b *Batch[T, R]) Step(done int) {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	if more := (done - b.steps) * len(b.items); more > 0 {
		b.steps = done
		b.m.stats.Steps += int64(more)
		b.m.stats.stepRate.add(float64(more), b.m.opts.now())
	}
}

// cost is the work of all its tasks.
func (b *Batch[T, R]) cost() (sum float64) {
	for _, it := range b.items {
		sum += it.task.cost()
	}
	return sum
}
