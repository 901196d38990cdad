// Package service makes pictures for other programs: it keeps models open, takes orders, makes what they ask for and tells of it in events.
// It knows no protocol: what speaks lines of JSON or HTTP translates both ways and decides nothing.
//
// An order is one run: its jobs go to the one queue of the model it names, a pipeline.Batcher. A job is prepared when its turn comes near
// and is let go of when it has ended, so that memory grows with what is in work and not with what is planned. A Run does this; the command
// line uses one without a Service. Pictures go to a Store, into the events, or both.
package service

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// DefaultLimit is how many orders may be unfinished at once where Options does not say.
const DefaultLimit = 1000

// Options configure a Service. Open is needed; the zero value of every other field works.
type Options struct {
	// Open opens a model.
	Open Open
	// Devices lists what can be computed on; nil: it cannot be told.
	Devices func(ctx context.Context) ([]backend.Device, error)
	// Check finds what is wrong with a run beyond its own Validate; nil: nothing.
	Check func(run request.Run, errs *request.Errors)
	// Classify sorts an error that is not the Service's own: CodeInvalid, CodeBadFile, CodeOutOfMemory, CodeNative or CodeFailed; nil:
	// CodeFailed.
	Classify func(err error) Code
	Texts    Texts // of PNG files; nil: none

	Limit     int // of unfinished orders; 0: DefaultLimit
	MaxModels int // open at once; 0: 1
	Window    int // see Work
	Now       func() time.Time
}

// Service keeps models open and makes what its orders ask for. Its methods may be called from any goroutine.
type Service struct {
	opts   Options
	began  time.Time
	stop   context.CancelCauseFunc
	ctx    context.Context // ends when everything is to be given up
	active sync.WaitGroup  // goroutines of orders and models

	computing turns
	// aside is full while something is computed that needs no model.
	aside chan struct{}

	mu      sync.Mutex
	orders  map[string]*order // unfinished, by their ids
	models  []*entry          // loaded or loading, by age
	current *entry            // used by orders that name no model
	closing bool
	telling int           // orders that have ended, and tell so
	idle    chan struct{} // closed, and replaced, when the end of an order was told
	served  Served
}

// Served counts what is past.
type Served struct {
	Requests int `json:"requests"` // answered
	Images   int `json:"images"`
	Errors   int `json:"errors"` // requests that ended with an error
}

// New makes a Service. The caller ends it with Close.
func New(o Options) *Service {
	o.Limit, o.MaxModels = cmp.Or(max(o.Limit, 0), DefaultLimit), max(o.MaxModels, 1)
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{opts: o, began: o.Now(), orders: map[string]*order{}, idle: make(chan struct{}), aside: make(chan struct{}, 1)}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	return s
}

// Ask is what every order has.
type Ask struct {
	ID   string
	Type string      // for Status
	Tell func(Event) // hears of the order; after Ended no more
}

// Refuse counts a request that did not become an order.
func (s *Service) Refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served.Requests++
	s.served.Errors++
}

// Has reports whether an order with an id has not ended.
func (s *Service) Has(id string) bool {
	_, ok := s.order(id)
	return ok
}

func (s *Service) order(id string) (*order, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.orders[id]
	return o, ok
}

// accept takes an order. work may take long: it is counted, and its acceptance is told. pictures, where set, is what it makes.
func (s *Service) accept(a Ask, work bool, pictures *Work) (*order, error) {
	o := newOrder(s, a, work)
	if pictures != nil {
		o.run = NewRun(o.ctx, *pictures, o.hear)
	}
	s.mu.Lock()
	_, taken := s.orders[a.ID]
	position := len(s.orders)
	var err error
	switch {
	case taken:
		err = Duplicate(a.ID)
	case s.closing:
		err = Errorf(CodeShuttingDown, "the worker takes no more requests")
	case work && position >= s.opts.Limit:
		err = Errorf(CodeQueueFull, "%d requests are unfinished; wait for some to end", s.opts.Limit)
	default:
		s.orders[a.ID] = o
	}
	s.mu.Unlock()
	if work && err == nil {
		o.emit(Accepted{position})
	}
	return o, err
}

// Duplicate is the error of an id that is in use.
func Duplicate(id string) *Error {
	return Errorf(CodeDuplicateID, "a request with the id %s is not finished yet; give each its own", id)
}

// Make makes the pictures of a run on the model that it names, which is opened where it is not. A model that is only a name or path may be
// that of an open one; none at all is the one used last.
func (s *Service) Make(a Ask, w Work) error {
	if err := s.check(w); err != nil {
		if s.Has(a.ID) {
			return Duplicate(a.ID)
		}
		return err
	}
	w.Name, w.Live, w.Texts, w.Now, w.Window = a.ID, true, s.opts.Texts, s.opts.Now, s.opts.Window
	o, err := s.accept(a, true, &w)
	if err != nil {
		return err
	}
	s.enqueue(o, "", w.Model, entryFlags{current: true})
	return nil
}

// check checks a run in full.
func (s *Service) check(w Work) error {
	var errs request.Errors
	if err := w.ValidateJobs(); err != nil && !errors.As(err, &errs) {
		return err
	}
	if w.Single && len(w.Jobs) > 1 {
		errs.Add("jobs", "has %d jobs; the type batch takes several", len(w.Jobs))
	}
	if s.opts.Check != nil {
		s.opts.Check(w.Run, &errs)
	}
	if len(errs) == 0 {
		CheckPlaces(w.Run, w.Delivery, s.opts.Now, &errs)
	}
	return errs.Err()
}

// Do answers an order that computes no pictures: with wait at once, else beside other work.
func (s *Service) Do(a Ask, wait bool, f func(ctx context.Context) (any, error)) error {
	o, err := s.accept(a, false, nil)
	if err != nil {
		return err
	}
	run := func() {
		result, err := f(o.ctx)
		o.end(err, result)
	}
	if wait {
		run()
	} else {
		s.active.Go(run)
	}
	return nil
}

// Compute answers an order that computes without a model. It counts and tells it like orders for pictures. Only one is computed at a time,
// since each may take hundreds of megabytes. f may warn of what it does otherwise than one may expect.
func (s *Service) Compute(a Ask, f func(ctx context.Context, warn func(text string)) (any, error)) error {
	o, err := s.accept(a, true, nil)
	if err != nil {
		return err
	}
	s.active.Go(func() {
		select {
		case s.aside <- struct{}{}:
			defer func() { <-s.aside }()
		case <-o.ctx.Done():
		}
		if err := context.Cause(o.ctx); err != nil {
			o.end(err, nil)
			return
		}
		o.hear(Started{})
		result, err := f(o.ctx, func(text string) { o.hear(Warning{Message: text}) })
		o.end(err, result)
	})
	return nil
}

// Adapt changes an adapter of an order for pictures, where c names one, and ends with the list of the job's adapters.
func (s *Service) Adapt(a Ask, target string, c Change) error {
	o, err := s.accept(a, false, nil)
	if err != nil {
		return err
	}
	other, ok := s.order(target)
	if !ok || other.run == nil {
		o.end(Errorf(CodeNotFound, "no request for pictures with the id %s is unfinished", target), nil)
		return nil
	}
	other.run.Adapt(o.ctx, c, func(list Adapters, err error) { o.end(err, list) })
	return nil
}

// Cancel gives an order up, or with an index one picture of it. except is the order that asks for it.
func (s *Service) Cancel(target, except string, job, index *int) error {
	o, ok := s.order(target)
	if !ok || target == except {
		return Errorf(CodeNotFound, "no request with the id %s is unfinished", target)
	}
	switch {
	case index == nil:
		o.cancel(errCancelled)
		return nil
	case o.run == nil:
		return Errorf(CodeNotFound, "this request has no picture %d of a job %d", *index, jobOf(job))
	}
	return o.run.CancelPicture(jobOf(job), *index)
}

// CancelAll gives up all orders that may take long, and returns how many there were.
func (s *Service) CancelAll() int { return s.giveUp(errCancelled, true) }

func (s *Service) giveUp(cause error, workOnly bool) (n int) {
	s.mu.Lock()
	var all []*order
	for _, o := range s.orders {
		if o.work || !workOnly {
			all = append(all, o)
		}
	}
	s.mu.Unlock()
	for _, o := range all {
		o.cancel(cause)
	}
	return len(all)
}

// Stop takes no more orders. Those that have not ended go on.
func (s *Service) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
}

// Stopped reports whether Stop was called.
func (s *Service) Stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// Abort is Stop, and gives up all orders.
func (s *Service) Abort(cause error) {
	s.Stop()
	s.giveUp(cause, false)
	s.stop(cause)
}

// Idle tells of how many orders the end was not told. told is closed when one of them tells it.
func (s *Service) Idle() (n int, told <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.orders) + s.telling, s.idle
}

// Close closes the models. All orders must have ended.
func (s *Service) Close() {
	s.Stop()
	s.stop(nil)
	s.mu.Lock()
	models := s.models
	s.mu.Unlock()
	for _, e := range models {
		e.push(nil)
	}
	s.active.Wait()
}

// ended forgets an order, which tells of its end next.
func (s *Service) ended(o *order, images int, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.orders, o.ID)
	s.telling++
	s.served.Requests++
	s.served.Images += images
	if failed {
		s.served.Errors++
	}
}

// told notes that an order has told of its end.
func (s *Service) told() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.telling--
	close(s.idle)
	s.idle = make(chan struct{})
}
