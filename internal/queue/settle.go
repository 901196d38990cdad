package queue

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// requeue puts running tasks back to their places in the queues of their jobs.
func (m *Manager[T, R]) requeue(items []*item[T, R], why string) {
	m.mu.Lock()
	back := 0
	for _, it := range items {
		if it.state != running {
			continue
		}
		back++
		j := it.job
		it.state, it.batch = queued, nil
		at, _ := slices.BinarySearchFunc(j.waiting, it, func(a, b *item[T, R]) int { return a.index - b.index })
		j.waiting = slices.Insert(j.waiting, at, it)
		j.counts.Running--
		j.counts.Queued++
		j.served -= it.task.cost()
		m.waiting++
		m.stats.queuedCost += it.task.cost()
	}
	m.stats.Retried += int64(back)
	m.wake.Broadcast()
	m.mu.Unlock()
	if back > 0 {
		m.event(Event{Kind: Requeued, Size: back, Why: why})
	}
}

// call runs a callback of the job, one at a time. A panic is its error.
func (j *Job[T, R]) call(f func() error) (err error) {
	j.calls <- struct{}{}
	defer func() { <-j.calls }()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a callback of the job panicked: %v", r)
		}
	}()
	return f()
}

// failItem counts a failed attempt of one task. The task is tried again if Options.Retry allows it.
func (m *Manager[T, R]) failItem(b *Batch[T, R], it *item[T, R], err error) {
	outOfMemory := errors.Is(err, backend.ErrOutOfMemory)
	m.mu.Lock()
	mine := it.state == running && it.batch == b
	if outOfMemory {
		m.stats.OutOfMemory++
	}
	m.mu.Unlock()
	switch {
	case !mine:
	case outOfMemory:
		b.w.outOfMemory(&Batch[T, R]{m: m, w: b.w, items: []*item[T, R]{it}, relief: b.relief}, []*item[T, R]{it}, err)
	case m.again(it, err):
		m.requeue([]*item[T, R]{it}, err.Error())
	default:
		m.failForGood(b, it, err)
	}
}

// again reports whether a task is tried once more after an error. If so it counts the attempt.
func (m *Manager[T, R]) again(it *item[T, R], err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	retry := m.opts.Retry
	if it.attempts >= retry.Attempts || retry.Retryable != nil && !retry.Retryable(err) {
		return false
	}
	it.attempts++
	it.alone = true
	it.after = m.opts.now().Add(retry.Delay << min(it.attempts-1, 16))
	return true
}

// failForGood ends a task with an error. The task is running, or its result could not be handed over.
func (m *Manager[T, R]) failForGood(b *Batch[T, R], it *item[T, R], err error) {
	m.mu.Lock()
	if it.batch != b && it.state != running || it.state == done || it.state == failed || it.state == queued {
		m.mu.Unlock()
		return
	}
	m.markFailed(it, err)
	it.attempts++
	m.mu.Unlock()
	m.tellFailed(it, err)
	m.mu.Lock()
	m.settle(it)
	m.mu.Unlock()
}

// markFailed ends an unfinished task. The caller calls settle next.
func (m *Manager[T, R]) markFailed(it *item[T, R], err error) {
	j := it.job
	if it.state == queued {
		m.dequeue(it)
	} else {
		j.counts.Running--
	}
	it.state = failed
	j.counts.Failed++
	m.stats.Failed++
	j.errs = append(j.errs, &TaskError{Index: it.index, Attempts: it.attempts + 1, Err: err})
}

func (m *Manager[T, R]) tellFailed(it *item[T, R], err error) {
	m.event(Event{Kind: TaskFailed, Job: it.job.id, Task: it.index, Err: err})
	if f := it.job.spec.OnError; f != nil {
		_ = it.job.call(func() error { f(it.index, err); return nil })
	}
}

// settle counts a task as ended. The last one ends the job. The task lets go of its batch: batches and jobs that share tasks would keep
// each other in memory, from the first one to the last.
func (m *Manager[T, R]) settle(it *item[T, R]) {
	j := it.job
	it.batch = nil
	if j.open--; j.open > 0 {
		return
	}
	m.jobs = remove(m.jobs, j)
	m.leave(j)
	if j.timer != nil {
		j.timer.Stop()
	}
	slices.SortFunc(j.errs, func(a, b *TaskError) int { return a.Index - b.Index })
	close(j.ended)
}

// abort gives up those of a job's tasks that are queued or running, and returns how many there were. It stops batches that nobody
// waits for. Another goroutine calls the job's OnError, so that a callback may call Cancel.
func (m *Manager[T, R]) abort(err error, items ...*item[T, R]) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var gone []*item[T, R]
	for _, it := range items {
		if it.state != queued && it.state != running {
			continue
		}
		b := it.batch
		m.markFailed(it, err)
		gone = append(gone, it)
		if b != nil && !slices.ContainsFunc(b.items, func(x *item[T, R]) bool {
			return x.batch == b && (x.state == running || x.state == delivering)
		}) {
			b.cancel()
		}
	}
	if len(gone) == 0 {
		return 0
	}
	m.stats.Cancelled += int64(len(gone))
	m.ended.Go(func() {
		for _, it := range gone {
			m.tellFailed(it, err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, it := range gone {
			m.settle(it)
		}
	})
	return len(gone)
}

func (m *Manager[T, R]) allLost() bool {
	return !slices.ContainsFunc(m.workers, func(w *worker[T, R]) bool { return !w.lost })
}

// ifAllLost gives up all jobs if no Runner is left.
func (m *Manager[T, R]) ifAllLost(err error) {
	m.mu.Lock()
	var jobs []*Job[T, R]
	if m.allLost() {
		jobs = slices.Clone(m.jobs)
	}
	m.mu.Unlock()
	for _, j := range jobs {
		m.abort(err, j.items...)
	}
}

// event is an Event about the batch.
func (b *Batch[T, R]) event(kind EventKind) Event {
	return Event{Kind: kind, Worker: b.w.runner.Name(), Batch: b.number, Size: len(b.items), Why: b.why, Relief: b.relief,
		Label: b.items[0].task.Label}
}

// event tells Options.OnEvent.
func (m *Manager[T, R]) event(e Event) {
	if m.opts.OnEvent == nil {
		return
	}
	e.Time = m.opts.now()
	m.events.Lock()
	defer m.events.Unlock()
	m.opts.OnEvent(e)
}

// Event is something that a Manager did.
type Event struct {
	Kind    EventKind
	Time    time.Time
	Worker  string // the Runner's name
	Batch   int64  // number; from 1
	Size    int    // tasks of the batch, or requeued
	Label   string // of the batch's tasks
	Why     string // the size, or the requeueing
	Relief  Relief
	Job     int64 // ID
	Task    int   // index in the job
	Seconds float64
	Peak    int64 // bytes in use at most while the batch ran; 0: not measured
	Err     error
}

// EventKind says what an Event is about.
type EventKind string

// The kinds of events.
const (
	BatchStarted EventKind = "batch_started"
	BatchEnded   EventKind = "batch_ended"
	TaskDone     EventKind = "task_done"
	TaskFailed   EventKind = "task_failed"
	Requeued     EventKind = "requeued"
	WorkerLost   EventKind = "worker_lost"
)
