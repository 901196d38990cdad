package service

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// entry is a model that is loaded, or will be, with a goroutine of its own that does things in their order: it opens the model, queues
// orders' first jobs, and closes the model.
type entry struct {
	s     *Service
	name  string
	model request.Model
	after []<-chan struct{} // models that are to be closed before this one opens
	keep  bool              // if it cannot be opened it stays, to be tried again
	gone  chan struct{}     // closed when the model is

	batcher *pipeline.Batcher // of the entry's goroutine; nil: the model is not open
	located request.Model     // of the entry's goroutine: model with the paths that its names stood for when it was opened

	mu    sync.Mutex
	wake  *sync.Cond
	pipes Pipes         // nil: the model is not open
	took  time.Duration // to open it
	items []*order      // to do; nil: close
	users map[*order]bool
	used  time.Time
}

// Load opens a model under a name, or answers at once where it is open already. It ends with a ModelInfo.
func (s *Service) Load(a Ask, name string, m request.Model) error {
	return s.load(a, name, m, entryFlags{current: true})
}

// Reload loads a model that was open in a process that died. If the model cannot be opened, Reload tries again for a second or two. After
// that each order that names the model tries again; the model is not forgotten. current: it is the model used last.
func (s *Service) Reload(a Ask, name string, m request.Model, current bool) error {
	return s.load(a, name, m, entryFlags{current: current, keep: true})
}

// entryFlags say how an order finds its model.
type entryFlags struct {
	current bool // it is the model used last, from then on
	keep    bool // it stays when it cannot be opened
}

func (s *Service) load(a Ask, name string, m request.Model, flags entryFlags) error {
	if err := (request.Run{Model: m, Jobs: []request.Request{{Prompt: request.NoPrompt}}}).Validate(); err != nil {
		if s.Has(a.ID) {
			return Duplicate(a.ID)
		}
		return err
	}
	o, err := s.accept(a, true, nil)
	if err != nil {
		return err
	}
	s.enqueue(o, cmp.Or(name, m.Model), m, flags)
	return nil
}

// Fail takes an order to load or unload a model that is known to fail.
func (s *Service) Fail(a Ask, why error) error {
	o, err := s.accept(a, true, nil)
	if err == nil {
		o.end(why, nil)
	}
	return err
}

// enqueue gives an order to the model that it names; name is that of a model to load.
func (s *Service) enqueue(o *order, name string, m request.Model, flags entryFlags) {
	e, err := s.entryFor(o, name, m, flags)
	if err != nil {
		o.end(err, nil)
		return
	}
	e.push(o)
}

// entryFor finds the entry of a model, or makes one. A model that is only a name or path may be the name of an entry; none at all
// is the one loaded last. The order is counted as a user of the entry.
func (s *Service) entryFor(o *order, name string, m request.Model, flags entryFlags) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var e *entry
	switch {
	case reflect.ValueOf(m).IsZero():
		if e = s.current; e == nil {
			return nil, Errorf(CodeNotFound, "no model is loaded; send a load first, or name the model in the request")
		}
	case o.run == nil:
		e = s.named(name)
		if e != nil && !reflect.DeepEqual(e.model, m) {
			return nil, Errorf(CodeInvalid, "another model is loaded as %q; unload it first, or give this one another name", words.Clip(name))
		}
	default:
		if reflect.DeepEqual(m, request.Model{Model: m.Model}) {
			e = s.named(m.Model)
		}
		for _, other := range s.models {
			if e == nil && reflect.DeepEqual(other.model, m) {
				e = other
			}
		}
	}
	if e == nil {
		name = cmp.Or(name, m.Model)
		for n := 2; s.named(name) != nil; n++ {
			name = fmt.Sprintf("%s#%d", m.Model, n)
		}
		after, err := s.makeRoom()
		if err != nil {
			return nil, err
		}
		e = s.newEntry(name, m, after, flags.keep)
	}
	e.mu.Lock()
	e.users[o] = true
	e.used = s.opts.Now()
	e.mu.Unlock()
	if !o.uses(e) {
		e.release(o)
	}
	if flags.current {
		s.current = e
	}
	return e, nil
}

func (s *Service) named(name string) *entry {
	for _, e := range s.models {
		if e.name == name {
			return e
		}
	}
	return nil
}

// makeRoom closes models that nobody uses until one more may be opened, and returns what to wait for.
func (s *Service) makeRoom() (after []<-chan struct{}, err error) {
	for len(s.models) >= s.opts.MaxModels {
		var oldest *entry
		var since time.Time
		for _, e := range s.models {
			if n, used := e.use(); n == 0 && (oldest == nil || used.Before(since)) {
				oldest, since = e, used
			}
		}
		if oldest == nil {
			return nil, Errorf(CodeBusy, "%d models are open and in use, and --models allows no more; unload one, or wait", len(s.models))
		}
		s.drop(oldest)
		oldest.push(nil)
		after = append(after, oldest.gone)
	}
	return after, nil
}

// drop takes an entry out of the list; it goes on with what it was given before.
func (s *Service) drop(e *entry) {
	s.models = slices.DeleteFunc(s.models, func(x *entry) bool { return x == e })
	if s.current == e {
		s.current = nil
	}
}

func (s *Service) newEntry(name string, m request.Model, after []<-chan struct{}, keep bool) *entry {
	e := &entry{s: s, name: name, model: m, after: after, keep: keep, gone: make(chan struct{}), users: map[*order]bool{}}
	e.wake = sync.NewCond(&e.mu)
	s.models = append(s.models, e)
	s.active.Go(e.work)
	return e
}

func (e *entry) use() (int, time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.users), e.used
}

// release is called at the end of an order that used the entry.
func (e *entry) release(o *order) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.users, o)
	e.wake.Broadcast()
}

func (e *entry) push(o *order) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.items = append(e.items, o)
	e.wake.Broadcast()
}

// next waits for the next order; nil: the model is to be closed.
func (e *entry) next() *order {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.items) == 0 {
		e.wake.Wait()
	}
	o := e.items[0]
	e.items = e.items[1:]
	return o
}

// work is the entry's goroutine.
func (e *entry) work() {
	defer close(e.gone)
	for _, other := range e.after {
		<-other
	}
	var err error
	for o := e.next(); o != nil; o = e.next() {
		if e.batcher == nil && (err == nil || e.keep) {
			o.hear(Started{})
			if err = e.openFor(o); err != nil && !e.keep {
				e.s.mu.Lock()
				e.s.drop(e)
				e.s.mu.Unlock()
			}
		}
		switch {
		case err != nil:
			o.end(err, nil)
			if n, _ := e.use(); n == 0 && !e.keep {
				return // nobody can have found it since it was dropped
			}
		case o.run == nil:
			o.hear(Started{})
			o.end(nil, e.info())
		default:
			o.submit(e)
		}
	}
	e.mu.Lock()
	for len(e.users) > 0 {
		e.wake.Wait()
	}
	e.mu.Unlock()
	if e.batcher != nil {
		e.batcher.Close()
		_ = e.pipes.Close() // there is nobody who could do anything about it
	}
}

// openFor opens the model. Giving up the order that asked for it stops that, unless others wait for the model, too.
func (e *entry) openFor(o *order) error {
	ctx, cancel := context.WithCancelCause(e.s.ctx)
	defer cancel(nil)
	defer context.AfterFunc(o.ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if others := len(e.users); others == 0 || others == 1 && e.users[o] {
			cancel(context.Cause(o.ctx))
		}
	})()
	err := e.openModel(ctx)
	if !e.keep || o.run != nil {
		return err
	}
	// The dead process may still hold memory that the model needs. Without a second try, orders that wait behind this one would fail at
	// once.
	for pause := firstPause; err != nil && pause < firstPause<<reloadTries; pause *= 2 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
			err = e.openModel(ctx)
		}
	}
	return err
}

// How often a Reload tries again before it fails, and the pause before the first try. The pause doubles each time.
const (
	reloadTries = 5
	firstPause  = 50 * time.Millisecond
)

func (e *entry) openModel(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	began := e.s.opts.Now()
	pipes, err := OpenEach(ctx, e.s.opts.Open, e.model)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	e.mu.Lock()
	e.pipes, e.took = pipes, e.s.opts.Now().Sub(began)
	e.mu.Unlock()
	e.located = pipes[0].Located(e.model)
	e.batcher = pipeline.NewBatcher(pipeline.BatcherOptions{QueueLimit: 1 << 30, Exclusive: e.s.computing.of}, pipes...)
	return nil
}

// Unload closes a model once the orders before have been done: that with a name, or the one used last.
func (s *Service) Unload(a Ask, name string) error {
	o, err := s.accept(a, true, nil)
	if err != nil {
		return err
	}
	s.mu.Lock()
	e := s.current
	if name != "" {
		e = s.named(name)
	}
	if e != nil {
		s.drop(e)
	}
	s.mu.Unlock()
	if e == nil {
		o.end(Errorf(CodeNotFound, "no model is loaded as %q", words.Clip(name)), nil)
		return nil
	}
	e.push(nil)
	s.active.Go(func() {
		select {
		case <-e.gone:
			o.end(nil, map[string]string{"name": e.name})
		case <-o.ctx.Done(): // the model goes all the same
			o.end(context.Cause(o.ctx), nil)
		}
	})
	return nil
}
