package service

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/queue"
)

var errCancelled error = queue.ErrCancelled

// order is an accepted Ask until its last event.
type order struct {
	Ask
	s     *Service
	work  bool // it may take long
	began time.Time
	ctx   context.Context // ends when the order is given up
	stop  context.CancelCauseFunc
	run   *Run // nil: it makes no pictures

	telling sync.Mutex // held while an event is told
	told    bool       // the last one was

	mu    sync.Mutex
	state State
	begun bool   // its run is in the queue
	entry *entry // the model it runs on; nil: none
}

func newOrder(s *Service, a Ask, work bool) *order {
	o := &order{Ask: a, s: s, work: work, began: s.opts.Now(), state: Queued}
	o.ctx, o.stop = context.WithCancelCause(s.ctx)
	return o
}

// emit tells of the order; after its last event nothing is told.
func (o *order) emit(e Event) {
	o.telling.Lock()
	defer o.telling.Unlock()
	if o.told {
		return
	}
	_, o.told = e.(Ended)
	o.Tell(e)
}

// hear passes the events of the order's run on. That computing begins is told once.
func (o *order) hear(e Event) {
	if _, ok := e.(Started); ok {
		o.mu.Lock()
		ok = o.state.to(Running)
		o.mu.Unlock()
		if !ok {
			return
		}
	}
	o.emit(e)
}

// uses notes the model that the order runs on, which its end releases; false: it has ended already.
func (o *order) uses(e *entry) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entry = e
	return !o.state.Ended()
}

// submit begins with the order's run on an open model.
func (o *order) submit(e *entry) {
	o.run.Model = e.located // the order may name none, or give it a name only
	err := o.run.Start(e.batcher)
	o.mu.Lock()
	o.begun = true
	o.mu.Unlock()
	if err != nil {
		o.end(err, nil)
		return
	}
	if o.ctx.Err() != nil { // given up between the two
		o.cancel(context.Cause(o.ctx))
	}
	o.s.active.Go(func() {
		<-o.run.Done()
		o.end(o.run.Result().Err, nil)
	})
}

// end emits the last event, once.
func (o *order) end(err error, result any) {
	e := Ended{State: Done, Err: err, Result: result}
	if err != nil {
		e.State = Failed
		if o.s.Explain(err).Code == CodeCancelled {
			e.State = Cancelled
		}
	}
	o.mu.Lock()
	ok, used := o.state.to(e.State), o.entry
	o.mu.Unlock()
	if !ok {
		return
	}
	if o.run != nil {
		made := o.run.Result()
		e.Images, e.Failed, e.Seeds = made.Images, made.Failed, made.Seeds
	}
	e.Seconds = o.s.opts.Now().Sub(o.began).Seconds()
	o.stop(nil)
	if o.run != nil {
		o.run.settle()
	}
	// The id is free before the client hears of the end, so that it can use it again.
	o.s.ended(o, e.Images, err != nil)
	if used != nil {
		used.release(o)
	}
	o.emit(e)
	o.s.told()
}

// cancel gives the order up. One that was not begun with ends at once.
func (o *order) cancel(cause error) {
	o.stop(cause)
	o.mu.Lock()
	begun := o.begun
	o.mu.Unlock()
	if begun && o.run != nil {
		o.run.Cancel()
	} else {
		o.end(cause, nil)
	}
}

// State is where an order stands.
type State string

// The states of an order.
const (
	Queued    State = "queued"  // its model is busy or being opened, or others go first
	Running   State = "running" // something of it was begun with
	Done      State = "done"
	Failed    State = "failed" // nothing of it was made
	Cancelled State = "cancelled"
)

// next lists the states that may follow each. What needs no computing is done without running.
var next = map[State][]State{
	Queued:  {Running, Done, Failed, Cancelled},
	Running: {Done, Failed, Cancelled},
}

// Ended reports whether the state is an order's last.
func (s State) Ended() bool { return len(next[s]) == 0 }

// to moves on to another state where the table allows it, and reports whether it did.
func (s *State) to(state State) bool {
	ok := slices.Contains(next[*s], state)
	if ok {
		*s = state
	}
	return ok
}
