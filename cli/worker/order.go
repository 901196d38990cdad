package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/queue"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// order is an accepted message until its last event.
type order struct {
	s     *Server
	msg   message
	run   request.Run
	began time.Time
	ctx   context.Context // ends when the order is given up
	stop  context.CancelCauseFunc
	entry *entry // the model it runs on; nil: none

	changing sync.Mutex // held while adapters are changed
	settled  bool       // prepared is complete, or the order has ended
	changes  []func()   // that wait for it

	telling sync.Mutex // held while an event is written
	told    bool       // the last one was

	mu        sync.Mutex
	prepared  []*part
	parts     []*part  // of those, what is queued
	open      int      // parts that are not finished
	submitted bool     // parts is complete
	unwanted  [][2]int // job and index of pictures that were given up before
	started   bool
	ended     bool
	images    int
	failed    int
	first     error // why the first picture failed
}

func newOrder(s *Server, m message, run request.Run) *order {
	o := &order{s: s, msg: m, run: run, began: s.opts.Now()}
	o.ctx, o.stop = context.WithCancelCause(s.ctx)
	return o
}

// isWork reports whether an order may take long: those are counted, and told of when they are accepted.
func (o *order) isWork() bool {
	switch o.msg.kind {
	case typeLoad, typeUnload, typeGenerate, typeBatch:
		return true
	}
	return false
}

// whenPrepared calls f once the order's jobs are ready to be queued, or it has ended; in the order of the calls.
func (o *order) whenPrepared(f func()) {
	o.changing.Lock()
	defer o.changing.Unlock()
	if o.settled {
		f()
		return
	}
	o.changes = append(o.changes, f)
}

// settle makes the calls that waited for whenPrepared.
func (o *order) settle() {
	o.changing.Lock()
	defer o.changing.Unlock()
	o.settled = true
	for _, f := range o.changes {
		f()
	}
	o.changes = nil
}

// emit tells of the order; after its last event nothing is told.
func (o *order) emit(name string, body any) {
	o.telling.Lock()
	defer o.telling.Unlock()
	if !o.told {
		o.s.out.emit(event{id: o.msg.id, name: name, casing: o.msg.casing, body: body})
	}
}

// emitLast is emit for the last event.
func (o *order) emitLast(name string, body any) {
	o.telling.Lock()
	defer o.telling.Unlock()
	o.told = true
	o.s.out.emit(event{id: o.msg.id, name: name, casing: o.msg.casing, body: body})
}

// start tells, once, that computing begins.
func (o *order) start(job int) {
	o.mu.Lock()
	begun := o.started
	o.started = true
	o.mu.Unlock()
	if !begun {
		o.emit("started", startedEvent{Job: job})
	}
}

// uses notes the model that the order runs on, which its end releases; false: it has ended already.
func (o *order) uses(e *entry) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entry = e
	return !o.ended
}

// end emits the last event, once.
func (o *order) end(err error, result any) {
	o.mu.Lock()
	if o.ended {
		o.mu.Unlock()
		return
	}
	o.ended = true
	body := doneEvent{Images: o.images, Failed: o.failed, Seconds: o.s.opts.Now().Sub(o.began).Seconds(), Result: result}
	for _, p := range o.parts {
		body.Seeds = append(body.Seeds, p.req.Seed)
	}
	used := o.entry
	o.mu.Unlock()
	o.stop(nil)
	o.settle()
	// The id is free before the client hears of the end, so that it can use it again.
	o.s.ended(o, err != nil)
	if used != nil {
		used.release(o)
	}
	if err == nil {
		o.emitLast("done", body)
		return
	}
	f := o.s.failureOf(err)
	o.emitLast("error", errorEvent{Code: f.code, Message: f.message, ExitCode: f.exit, Fields: f.fields})
}

// cancelWith gives the order up. One that was not begun with ends at once.
func (o *order) cancelWith(cause error) {
	o.stop(cause)
	o.mu.Lock()
	parts, begun := o.parts, o.submitted
	o.mu.Unlock()
	for _, p := range parts {
		p.job.Cancel()
	}
	if !begun {
		o.end(cause, nil)
	}
}

// failureOf sorts an error into the codes of the protocol.
func (s *Server) failureOf(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	f = &failure{message: err.Error(), exit: s.opts.ExitCode(err)}
	var fields request.Errors
	switch {
	case errors.As(err, &fields) && (f.exit == 2 || f.exit == 1):
		f.code, f.exit, f.fields = codeInvalid, 2, fields
	case errors.Is(err, context.DeadlineExceeded):
		f.code, f.exit, f.message = codeDeadline, 130, "deadline_seconds ran out"
	case errors.Is(err, errEOF):
		f.code, f.exit = codeCancelled, 130
	case errors.Is(err, queue.ErrCancelled), errors.Is(err, queue.ErrClosed), errors.Is(err, context.Canceled):
		f.code, f.exit, f.message = codeCancelled, 130, "cancelled"
	case f.exit == 2:
		f.code = codeInvalid
	case f.exit == 3:
		f.code, f.fields = codeBadFile, fields
	case f.exit == 4:
		f.code = codeOutOfMemory
	case f.exit == 5:
		f.code = codeNative
	default:
		f.code = codeFailed
	}
	return f
}
