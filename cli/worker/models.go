package worker

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// entry is a model that is loaded, or will be, with a goroutine of its own that does things in their order: it opens the model,
// makes orders ready and queues them, and closes the model.
type entry struct {
	s     *Server
	name  string
	model request.Model
	after []<-chan struct{} // models that are to be closed before this one opens
	gone  chan struct{}     // closed when the model is

	// Of the entry's goroutine until opened is closed.
	pipe    *pipeline.Pipeline
	batcher *pipeline.Batcher
	opened  chan struct{}

	mu    sync.Mutex
	wake  *sync.Cond
	items []item
	users map[*order]bool // orders that are not finished
	used  time.Time
}

// item is something for an entry to do: an order, or, without one, to close.
type item struct {
	order *order
}

// modelInfo is what load and status tell of a model.
type modelInfo struct {
	Name       string                  `json:"name"`
	Model      string                  `json:"model"`
	Loaded     bool                    `json:"loaded"`
	Kind       backend.Kind            `json:"kind,omitempty"`
	Device     string                  `json:"device,omitempty"`
	Precision  backend.Precision       `json:"precision,omitempty"`
	Reason     string                  `json:"precision_reason,omitempty"`
	Bytes      int64                   `json:"parameter_bytes"`
	Components []backend.ComponentInfo `json:"components,omitempty"`
	Requests   int                     `json:"requests"` // unfinished

	// Memory is what the native library holds for the model itself, then for TAESD, the refiner and ControlNets as far as they are open; memory
	// alone tells it.
	Memory []backend.MemoryStats `json:"memory,omitempty"`
}

// loadBody is a load's request in the shape of a run file: {"model": ...}, or a model's table by itself.
func loadBody(body map[string]any) map[string]any {
	out := map[string]any{}
	whole := false
	for key, value := range body {
		switch words.FoldKey(key, "_") {
		case "name":
			continue
		case "model":
			_, isTable := value.(map[string]any)
			whole = whole || isTable || value != nil && len(body) <= 2
		}
		out[key] = value
	}
	if whole || len(out) == 0 {
		return out
	}
	return map[string]any{"model": out}
}

// nameOf reads the name of a load or unload.
func nameOf(body map[string]any) (string, *failure) {
	for key, value := range body {
		if words.FoldKey(key, "_") != "name" || value == nil {
			continue
		}
		name, ok := value.(string)
		if !ok || name == "" || len(name) > 200 {
			return "", &failure{code: codeInvalid, exit: 2, message: key + ": is no name", fields: []request.Error{{Path: key, Message: "is no name; give a text of 1 to 200 bytes"}}}
		}
		return name, nil
	}
	return "", nil
}

// load opens a model under a name, or answers at once where it is open already.
func (s *Server) load(o *order) {
	name, bad := nameOf(o.msg.body)
	if bad != nil {
		o.end(bad, nil)
		return
	}
	if name == "" {
		name = o.run.Model.Model
	}
	e, err := s.entryFor(o, name, o.run.Model)
	if err != nil {
		o.end(err, nil)
		return
	}
	e.push(item{order: o})
}

// enqueue gives an order to the model it names.
func (s *Server) enqueue(o *order) {
	m := o.run.Model
	e, err := s.entryFor(o, "", m)
	if err != nil {
		o.end(err, nil)
		return
	}
	e.push(item{order: o})
}

// entryFor finds the entry of a model, or makes one. A model that is only a name or path may be the name of an entry; none at all
// is the one loaded last. The order is counted as a user of the entry.
func (s *Server) entryFor(o *order, name string, m request.Model) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	load := o.msg.kind == typeLoad
	var e *entry
	switch {
	case reflect.ValueOf(m).IsZero():
		if e = s.current; e == nil {
			return nil, failf(codeNotFound, "no model is loaded; send a load first, or name the model in the request")
		}
	case load:
		e = s.named(name)
		if e != nil && !reflect.DeepEqual(e.model, m) {
			return nil, failf(codeInvalid, "another model is loaded as %q; unload it first, or give this one another name", words.Clip(name))
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
		if name == "" {
			name = m.Model
		}
		for n := 2; s.named(name) != nil; n++ {
			name = fmt.Sprintf("%s#%d", m.Model, n)
		}
		after, err := s.makeRoom()
		if err != nil {
			return nil, err
		}
		e = s.newEntry(name, m, after)
	}
	e.mu.Lock()
	e.users[o] = true
	e.used = s.opts.Now()
	e.mu.Unlock()
	if !o.uses(e) {
		e.release(o)
	}
	s.current = e
	return e, nil
}

func (s *Server) named(name string) *entry {
	for _, e := range s.models {
		if e.name == name {
			return e
		}
	}
	return nil
}

// makeRoom closes models that nobody uses until one more may be opened, and returns what to wait for.
func (s *Server) makeRoom() (after []<-chan struct{}, err error) {
	for len(s.models) >= s.opts.MaxModels {
		var oldest *entry
		var since time.Time
		for _, e := range s.models {
			if n, used := e.use(); n == 0 && (oldest == nil || used.Before(since)) {
				oldest, since = e, used
			}
		}
		if oldest == nil {
			return nil, failf(codeBusy, "%d models are open and in use, which is as many as may be (--models); unload one, or wait", len(s.models))
		}
		s.drop(oldest)
		oldest.push(item{})
		after = append(after, oldest.gone)
	}
	return after, nil
}

// drop takes an entry out of the list; it goes on with what it was given before.
func (s *Server) drop(e *entry) {
	s.models = slices.DeleteFunc(s.models, func(x *entry) bool { return x == e })
	if s.current == e {
		s.current = nil
	}
}

func (s *Server) newEntry(name string, m request.Model, after []<-chan struct{}) *entry {
	e := &entry{s: s, name: name, model: m, after: after, gone: make(chan struct{}), opened: make(chan struct{}), users: map[*order]bool{}}
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

func (e *entry) push(i item) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.items = append(e.items, i)
	e.wake.Broadcast()
}

// next waits for the next item.
func (e *entry) next() item {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.items) == 0 {
		e.wake.Wait()
	}
	i := e.items[0]
	e.items = e.items[1:]
	return i
}

// work is the entry's goroutine.
func (e *entry) work() {
	defer close(e.gone)
	for _, other := range e.after {
		<-other
	}
	first := e.next()
	if first.order == nil {
		close(e.opened)
		return
	}
	first.order.start(0)
	err := e.openFor(first.order)
	if err != nil {
		e.s.mu.Lock()
		e.s.drop(e)
		e.s.mu.Unlock()
	}
	close(e.opened)
	for i := first; i.order != nil; i = e.next() {
		switch {
		case err != nil:
			i.order.end(err, nil)
			if n, _ := e.use(); n == 0 {
				return // nobody can have found it since it was dropped
			}
			continue
		case i.order.msg.kind == typeLoad:
			i.order.start(0)
			i.order.end(nil, e.info())
		default:
			e.submit(i.order)
		}
	}
	e.mu.Lock()
	for len(e.users) > 0 {
		e.wake.Wait()
	}
	e.mu.Unlock()
	if e.pipe != nil {
		e.batcher.Close()
		_ = e.pipe.Close() // there is nobody who could do anything about it
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
	return e.openModel(ctx)
}

func (e *entry) openModel(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	pipe, err := e.s.opts.Open(ctx, pipeline.ConfigOf(e.model))
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	e.pipe = pipe
	e.batcher = pipeline.NewBatcher(pipeline.BatcherOptions{QueueLimit: 1 << 30, Exclusive: &e.s.computing}, pipe)
	return nil
}

// info describes the model; it does not wait for its loading.
func (e *entry) info() modelInfo {
	n, _ := e.use()
	info := modelInfo{Name: e.name, Model: pipeline.ModelName(e.model.Model), Requests: n}
	select {
	case <-e.opened:
	default:
		return info
	}
	if e.pipe == nil {
		return info
	}
	m := e.pipe.Info()
	info.Loaded, info.Kind, info.Precision, info.Reason, info.Components = true, m.Kind, m.Precision, m.PrecisionReason, m.Components
	for _, c := range m.Components {
		if c.Loaded {
			info.Bytes += c.ParameterBytes
		}
		if c.Name == "unet" {
			info.Device = c.Device
		}
	}
	return info
}

// memory is info with what the model holds; it does not wait for running calls.
func (e *entry) memory() modelInfo {
	info := e.info()
	if info.Loaded {
		info.Memory = e.pipe.MemoryStats()
	}
	return info
}

// unload closes a model once the requests before have been done.
func (s *Server) unload(o *order) {
	name, bad := nameOf(o.msg.body)
	if bad != nil {
		o.end(bad, nil)
		return
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
		o.end(failf(codeNotFound, "no model is loaded as %q", words.Clip(name)), nil)
		return
	}
	e.push(item{})
	s.active.Go(func() {
		select {
		case <-e.gone:
			o.end(nil, map[string]string{"name": e.name})
		case <-o.ctx.Done(): // the model goes all the same
			o.end(context.Cause(o.ctx), nil)
		}
	})
}
