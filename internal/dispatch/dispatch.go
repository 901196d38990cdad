// Package dispatch is the worker of a queue of durable runs: it takes runs, has a service.Service make them, keeps their pictures in a
// store, and tells what happens. A run's pictures are kept before its message is acknowledged, so that nothing is lost if the process dies:
// another one makes what is missing.
package dispatch

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/blobs"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/service"
)

// Options configure a Worker.
type Options struct {
	Queue   *durable.Queue
	Store   *blobs.Store
	Service *service.Service
	Catalog func() *catalog.Catalog // as it is now
	Name    string                  // of this worker; no other has it
	Models  int                     // open at once, as the Service has it; 0: 1
	Window  int                     // pictures in work at most, of a priority and above; 0: DefaultWindow
	Grace   time.Duration           // for what was begun with when Run is to end; 0: DefaultGrace
	Version string                  // of the program
	Shared  bool                    // other workers may have models that this one has not: their runs are left to those
	Log     *slog.Logger
}

// The values that stand for zero in Options.
const (
	DefaultWindow = 64 // of one process; the workers of a fleet have half of it, so that one of them holds less that others could make
	DefaultGrace  = 30 * time.Second
)

// share is how many pictures of one run count: the service has runs share the machine fairly, so that a large one does not keep others out.
const share = 16

// Worker makes runs.
type Worker struct {
	o Options

	mu     sync.Mutex
	tasks  map[*task]bool // in work
	free   chan struct{}  // closed, and replaced, when one ends
	model  string         // whose runs go first
	since  time.Time      // when they began to
	aimed  time.Time      // when it was last looked which model that should be
	rested time.Time      // when the last of tasks ended
	small  int            // window after memory ran out; 0: it did not
	fair   int            // window for its part of all pictures
	at     time.Time      // when fair was computed
	ends   bool           // it takes nothing new
	stale  bool           // the list of its files

	told teller
	news chan struct{} // something to tell at once
	over chan struct{} // closed when Run has ended
}

// New makes a Worker.
func New(o Options) *Worker {
	window := DefaultWindow
	if o.Shared {
		window /= 2
	}
	o.Models, o.Window, o.Grace = max(o.Models, 1), cmp.Or(max(o.Window, 0), window), cmp.Or(max(o.Grace, 0), DefaultGrace)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Worker{o: o, tasks: map[*task]bool{}, free: make(chan struct{}), news: make(chan struct{}, 1), over: make(chan struct{})}
}

// Relist has the list of the worker's files made anew at once: the Catalog is another one.
func (w *Worker) Relist() {
	w.mu.Lock()
	w.stale = true
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
	w.o.Queue.Wake()
}

// Name is the worker's name.
func (w *Worker) Name() string { return w.o.Name }

// Run takes runs and makes them until ctx ends. Then it gives back what it has not begun with, and waits for the rest, which it gives back
// after Options.Grace.
func (w *Worker) Run(ctx context.Context) {
	telling, quiet := context.WithCancel(context.WithoutCancel(ctx))
	var told sync.WaitGroup
	told.Go(func() { w.announce(telling) })
	defer func() {
		quiet()
		told.Wait()
	}()
	for ctx.Err() == nil {
		c, err := w.o.Queue.Take(ctx, durable.Wish{Worker: w.o.Name, Rank: w.rank, Room: w.room, Can: w.can, Most: w.most, Other: w.other})
		switch {
		case c != nil:
			w.take(ctx, c)
		case ctx.Err() == nil:
			w.o.Log.Warn("the queue gives no run", "error", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
	w.drain()
}

// take begins with a run. It waits as long as the run cannot be made beside what is in work: another model may have to be closed first, or
// the run may be one that processes die of.
func (w *Worker) take(ctx context.Context, c *durable.Claim) {
	t := newTask(w, c)
	alive, stop := context.WithCancel(context.Background())
	go t.keep(alive, stop)
	if !w.await(ctx, func() bool { return w.fits(t) }) {
		t.giveBack(0, false)
		stop()
		return
	}
	w.mu.Lock()
	w.tasks[t] = true
	w.turn(t.Model, time.Now())
	w.mu.Unlock()
	t.stop = stop
	t.begin(alive)
	if c.Suspect() {
		w.await(ctx, func() bool { return !w.tasks[t] })
	}
}

// fits reports whether a run can be made beside what is in work. The mutex is held.
func (w *Worker) fits(t *task) bool {
	if t.Suspect() {
		return len(w.tasks) == 0
	}
	models := map[string]bool{t.Model: true}
	for other := range w.tasks {
		models[other.Model] = true
	}
	return len(models) <= w.o.Models
}

// await waits until ok, which is called with the mutex held; false: ctx has ended before.
func (w *Worker) await(ctx context.Context, ok func() bool) bool {
	for {
		w.mu.Lock()
		done, free := ok(), w.free
		w.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-free:
		case <-ctx.Done():
			return false
		}
	}
}

// ended forgets a run.
func (w *Worker) ended(t *task) {
	w.mu.Lock()
	if delete(w.tasks, t); len(w.tasks) == 0 {
		w.rested = time.Now()
	}
	close(w.free)
	w.free = make(chan struct{})
	w.mu.Unlock()
	w.o.Queue.Wake()
}

// drain ends the work.
func (w *Worker) drain() {
	defer close(w.over)
	w.mu.Lock()
	w.ends = true
	w.mu.Unlock()
	w.each(func(t *task) {
		if !t.begun() {
			t.leave(errDrained)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), w.o.Grace)
	defer cancel()
	idle := func() bool { return len(w.tasks) == 0 }
	if !w.await(ctx, idle) {
		w.each(func(t *task) { t.leave(errDrained) })
		rest, cancel := context.WithTimeout(context.Background(), DefaultGrace)
		defer cancel()
		w.await(rest, idle)
	}
}

func (w *Worker) each(f func(t *task)) {
	w.mu.Lock()
	list := make([]*task, 0, len(w.tasks))
	for t := range w.tasks {
		list = append(list, t)
	}
	w.mu.Unlock()
	for _, t := range list {
		f(t)
	}
}

// The reasons to let go of a run.
var (
	errDrained = errors.New("the worker ends")
	errLost    = errors.New("another worker has the run")
	errWanted  = errors.New("the run was cancelled")
)
