package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// sampleEvery is how often memory is measured while a batch runs.
const sampleEvery = 50 * time.Millisecond

// worker is a Runner and what was learned about it. The manager's mutex guards all but runner.
type worker[T, R any] struct {
	m      *Manager[T, R]
	runner Runner[T, R]
	sizes  map[string]*sizing
	order  []string // keys of sizes, by first use

	speed   float64 // cost a second, measured; 0: not yet
	current *Batch[T, R]
	began   time.Time // of current
	lost    bool
	pleased int64 // pictures finished
	peak    int64
}

// maxSizings bounds how many keys a worker remembers.
const maxSizings = 256

func (w *worker[T, R]) sizing(t Task[T]) *sizing {
	s, ok := w.sizes[t.Key]
	if !ok {
		if len(w.order) >= maxSizings {
			delete(w.sizes, w.order[0])
			w.order = w.order[1:]
		}
		s = newSizing(cmp.Or(t.Label, t.Key), t.Batch)
		w.sizes[t.Key], w.order = s, append(w.order, t.Key)
	}
	return s
}

// remaining estimates the seconds until the running batch ends.
func (w *worker[T, R]) remaining(now time.Time) float64 {
	if w.current == nil || w.speed == 0 {
		return 0
	}
	return max(w.current.cost()/w.speed-now.Sub(w.began).Seconds(), 0)
}

// loop computes batches until the manager is closed or the runner is lost.
func (w *worker[T, R]) loop() {
	m := w.m
	for {
		b, ctx := w.nextBatch()
		if b == nil {
			return
		}
		m.event(b.event(BatchStarted))
		before := w.runner.Memory()
		stop := w.watchMemory(before)
		err := w.run(ctx, b)
		peak := stop()
		b.cancel()
		w.finish(b, err, before, peak)
		if w.lost {
			return
		}
	}
}

// run calls the Runner; its panic is an error of the batch, so that one picture cannot end the others' process.
func (w *worker[T, R]) run(ctx context.Context, b *Batch[T, R]) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the runner panicked: %v", r)
		}
	}()
	return w.runner.Run(ctx, b)
}

// nextBatch waits for work; it returns nil when there will be no more.
func (w *worker[T, R]) nextBatch() (*Batch[T, R], context.Context) {
	m := w.m
	m.mu.Lock()
	defer m.mu.Unlock()
	asked, known := "", false // the key that the budget was just asked for
	for m.ctx.Err() == nil && !w.lost {
		first, order, next := m.choose(w)
		if first == nil {
			known = false
			m.sleep(next)
			continue
		}
		if !known || asked != first.task.Key {
			asked, known = first.task.Key, true
			m.mu.Unlock()
			budget := w.runner.Budget(m.ctx, first.task)
			m.mu.Lock()
			w.sizing(first.task).budget = budget
			continue
		}
		b := m.take(w, first, order)
		var ctx context.Context
		ctx, b.cancel = context.WithCancel(m.ctx)
		w.current, w.began = b, m.opts.now()
		return b, ctx
	}
	return nil, nil
}

// sleep waits for a change, at most until a time that is not zero.
func (m *Manager[T, R]) sleep(until time.Time) {
	if !until.IsZero() {
		t := time.AfterFunc(until.Sub(m.opts.now()), func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.wake.Broadcast()
		})
		defer t.Stop()
	}
	m.wake.Wait()
}

// watchMemory samples the Runner's memory until stop is called, which returns the highest value.
func (w *worker[T, R]) watchMemory(before Usage) (stop func() int64) {
	if before == (Usage{}) {
		return func() int64 { return 0 }
	}
	used := func() int64 { return w.runner.Memory().Used }
	s := machine.NewSampler(used, sampleEvery)
	return func() int64 {
		s.Close()
		_, peak, _ := s.Peaks()
		return max(before.Used, peak, used())
	}
}

// finish learns from a batch, and settles the tasks that the Runner neither delivered nor failed.
func (w *worker[T, R]) finish(b *Batch[T, R], err error, before Usage, peak int64) {
	m := w.m
	m.mu.Lock()
	rest := slices.DeleteFunc(slices.Clone(b.items), func(it *item[T, R]) bool { return it.state != running || it.batch != b })
	seconds := m.opts.now().Sub(w.began).Seconds()
	s := w.sizing(b.items[0].task)
	w.current = nil
	w.peak = max(w.peak, peak)
	m.stats.Batches++
	oom := errors.Is(err, backend.ErrOutOfMemory)
	switch {
	case errors.Is(err, ErrRunnerLost):
		w.lost = true
	case oom:
		m.stats.OutOfMemory++
		s.outOfMemory(len(b.items))
	case err == nil && len(rest) == 0:
		w.learn(b, s, seconds, before, peak)
	}
	m.wake.Broadcast() // who left work to this worker may think again
	m.mu.Unlock()

	trim := oom || before.Limit > 0 && peak > before.Limit
	if trim && m.ctx.Err() == nil {
		_ = w.runner.Trim(m.ctx) // what could not be freed shows in the next batch
	}
	e := b.event(BatchEnded)
	e.Seconds, e.Peak, e.Err = seconds, peak, err
	m.event(e)
	switch {
	case w.lost:
		m.event(Event{Kind: WorkerLost, Worker: w.runner.Name(), Err: err})
		m.requeue(rest, "the runner is lost")
		m.ifAllLost(err)
	case oom:
		w.outOfMemory(b, rest, err)
	case len(rest) > 0 && len(b.items) > 1 && err != nil:
		for _, it := range rest {
			it.alone = true
		}
		m.requeue(rest, err.Error())
	default:
		if err == nil {
			err = errors.New("the runner delivered nothing")
		}
		for _, it := range rest {
			m.failItem(b, it, err)
		}
	}
}

// learn takes note of a batch that went well.
func (w *worker[T, R]) learn(b *Batch[T, R], s *sizing, seconds float64, before Usage, peak int64) {
	if slices.ContainsFunc(b.items, func(it *item[T, R]) bool { return it.state != done }) {
		return // cancelled halfway: the time says nothing
	}
	if seconds > 0 {
		if now := b.cost() / seconds; w.speed == 0 {
			w.speed = now
		} else {
			w.speed = 0.7*w.speed + 0.3*now
		}
	}
	if b.relief == ReliefNone {
		s.finished(len(b.items), w.m.opts.MaxBatch, seconds, before.Used, peak, before.Limit)
	} else {
		s.recover()
	}
}

// outOfMemory repeats what a batch could not finish. Several tasks are tried in halves. A single one is tried once more as it is, then
// with more and more relief. At last Options.Retry decides, because other programs may give memory back.
func (w *worker[T, R]) outOfMemory(b *Batch[T, R], rest []*item[T, R], err error) {
	m := w.m
	if len(b.items) > 1 {
		m.requeue(rest, fmt.Sprintf("%d ran out of memory together", len(b.items)))
		return
	}
	for _, it := range rest {
		switch {
		case !it.trimmed:
			it.trimmed = true
			m.requeue(rest, "ran out of memory; once more after freeing caches")
		case b.relief < w.runner.MaxRelief():
			it.relief = b.relief + 1
			m.mu.Lock()
			w.sizing(it.task).needsRelief(it.relief)
			m.mu.Unlock()
			m.requeue(rest, "ran out of memory; next with "+it.relief.String())
		case m.again(it, err):
			m.requeue(rest, "ran out of memory with every saving; trying again later")
		default:
			m.failForGood(b, it, err)
		}
	}
}
