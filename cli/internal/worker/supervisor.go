package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daguerre-go/daguerre/internal/queue"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// SupervisorOptions configure a Supervisor. Command is needed.
type SupervisorOptions struct {
	Command []string  // of the process that computes: a Server on its standard input and output
	Env     []string  // of it, besides this process's own
	Stderr  io.Writer // where its standard error goes; nil: nowhere
	Log     *slog.Logger

	Version     string
	MaxLine     int           // as Options.MaxLine; the process's should be the same
	QueueLimit  int           // as Options.QueueLimit; the process's should be larger
	CancelOnEOF bool          //
	Backoff     time.Duration // before the second start in a row; doubled for each next, up to 30 s. 0: 200 ms
	Grace       time.Duration // for the process to end when it is told to; 0: 10 s
	Models      int           // as Options.MaxModels
	Watchdog    time.Duration // a process that answers nothing for so long is ended; 0: DefaultWatchdog; negative: never
	Patience    time.Duration // if a process does not answer for so long, the Supervisor answers for it; 0: 2 s
	Stall       time.Duration // as Options.Stall
	Now         func() time.Time
}

// DefaultWatchdog is how long a process may answer nothing, if SupervisorOptions does not say.
const DefaultWatchdog = time.Minute

const (
	maxBackoff   = 30 * time.Second
	maxBlames    = 5         // times in a row that a process may die with a request at hand before it has begun with any
	maxStrikes   = 5         // times in a row that a process may die while it loads a model again
	maxUnready   = 10        // times in a row that a process may die before it reads requests
	maxHeldBytes = 512 << 20 // of lines that are not answered
	internalID   = "~supervisor:"
)

// Supervisor answers one client as a Server does, through a Server in a child process. When the process dies, exactly the requests it
// was computing fail. A new process opens the same models and gets the requests that were not begun. A process that answers nothing is
// ended; until then the Supervisor answers in its place where it can.
type Supervisor struct {
	opts SupervisorOptions
	out  *emitter

	mu       sync.Mutex
	wake     *sync.Cond
	casing   request.Casing
	pending  []*pending       // not answered, in the order of acceptance
	held     int              // bytes of their lines
	models   recollection     // of what the process has open
	greeting []byte           // the client's hello, which a new process must hear, too
	nth      int              // internal messages so far
	process  *service.Process // nil while there is none
	closing  bool             // takes no more
	stopped  bool             // everything is given up
	restarts int
	answered bool // something, by the process that runs now
	ready    bool // the process that runs now reads requests
	begun    bool // the process that runs now began with a request
	unready  int  // processes in a row that died before they read requests
	health   health
	began    time.Time
	served   service.Served
	running  atomic.Pointer[service.Process] // the same as process, for code that cannot wait for the mutex
}

// pending is a message that is not answered.
type pending struct {
	msg      message
	since    time.Time
	sent     bool // to the process that runs now
	accepted bool // the client was told
	started  bool // by the process that runs now
	silent   bool // the Supervisor has answered it, and the process works on it still
	lasting  bool // an internal message that a new process must get, too
	blames   int
	images   int              // finished
	failed   int              // pictures
	again    *known           // the model of an internal load
	uses     *known           // the model that it runs on; nil: not told yet, or none
	before   *known           // the model used last when it was accepted
	closes   []*known         // models that were closed for it
	changes  []service.Change // of its adapters, which were answered; one for each adapter
}

// restartedEvent tells that the process died and is started again.
type restartedEvent struct {
	Restarts int               `json:"restarts"` // so far
	Reason   string            `json:"reason"`
	Failed   []json.RawMessage `json:"failed"` // ids of the requests that it was computing
}

// NewSupervisor makes a Supervisor.
func NewSupervisor(o SupervisorOptions) *Supervisor {
	o.MaxLine, o.QueueLimit = cmp.Or(max(o.MaxLine, 0), DefaultMaxLine), cmp.Or(max(o.QueueLimit, 0), service.DefaultLimit)
	o.Watchdog, o.Patience = cmp.Or(o.Watchdog, DefaultWatchdog), cmp.Or(max(o.Patience, 0), 2*time.Second)
	o.Stall, o.Models = cmp.Or(max(o.Stall, 0), DefaultStall), max(o.Models, 1)
	o.Backoff, o.Grace = cmp.Or(max(o.Backoff, 0), 200*time.Millisecond), cmp.Or(max(o.Grace, 0), 10*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Supervisor{opts: o, casing: request.SnakeCase, began: o.Now(), models: recollection{most: o.Models}}
	s.wake = sync.NewCond(&s.mu)
	return s
}

// Serve is as Server.Serve.
func (s *Supervisor) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	s.out = newEmitter(out, s.opts.Now)
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, in) }()
	err := s.out.await(ctx, s.opts.Stall, served)
	if c := s.running.Load(); c != nil { // the client reads nothing: no orderly end is possible
		c.Kill()
	}
	return err
}

func (s *Supervisor) serve(ctx context.Context, in io.Reader) error {
	s.out.emit(event{name: "hello", casing: s.casing, body: helloEvent{Protocol: Protocol, Version: s.opts.Version, Types: Types,
		MaxLine: s.opts.MaxLine, Supervised: true}})
	ended := make(chan error, 1)
	go func() { ended <- s.read(newLineReader(in, s.opts.MaxLine)) }()
	finished := make(chan struct{})
	go func() { defer close(finished); s.supervise() }()
	go s.tend(finished)
	var err error
	input, gone, broken := ended, ctx.Done(), s.out.broken
	for {
		select {
		case err = <-input:
			input = nil
			s.close(s.opts.CancelOnEOF || err != nil, errEOF)
		case <-gone:
			gone, err = nil, ctx.Err()
			s.terminate(err)
		case <-broken:
			broken, err = nil, io.ErrClosedPipe
			s.terminate(err)
		case <-finished:
			return err
		}
	}
}

// read takes lines until there are no more.
func (s *Supervisor) read(lines *lineReader) error {
	for {
		line, err := lines.next()
		s.mu.Lock()
		casing, closing := s.casing, s.closing
		s.mu.Unlock()
		switch {
		case closing || errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLineTooLong):
			s.refuse(message{id: idInPrefix(line), casing: casing}, tooLong(s.opts.MaxLine), lines.count)
			continue
		case err != nil:
			return err
		}
		m, err := parse(line, casing, false, s.opts.Now())
		if err == nil {
			err = s.accept(m)
		}
		if err != nil {
			s.refuse(m, err, lines.count)
		}
	}
}

// find returns the message with an id that the process works on. A silent one comes before a later one with the same id.
func (s *Supervisor) find(id json.RawMessage) int {
	return slices.IndexFunc(s.pending, func(p *pending) bool { return string(p.msg.id) == string(id) })
}

// findOpen returns the message with an id that the client still waits for.
func (s *Supervisor) findOpen(id json.RawMessage) int {
	return slices.IndexFunc(s.pending, func(p *pending) bool { return string(p.msg.id) == string(id) && !p.silent })
}

// refuse is as Server.refuse.
func (s *Supervisor) refuse(m message, err error, number int) {
	s.mu.Lock()
	i := s.findOpen(m.id)
	taken := i >= 0 && !s.pending[i].internal() // the client knows nothing of those
	s.count(0, true)
	s.mu.Unlock()
	if bad, ok := errors.AsType[*service.Error](err); ok {
		s.out.refuse(m, bad, number, taken)
	}
}

// accept takes a message to be passed on.
func (s *Supervisor) accept(m message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case strings.HasPrefix(string(m.id), `"`+internalID):
		return service.Errorf(codeBadMessage, "ids that begin with %s are the supervisor's own", internalID)
	case s.findOpen(m.id) >= 0:
		return service.Duplicate(string(m.id))
	case s.closing:
		return service.Errorf(service.CodeShuttingDown, "the worker takes no more requests")
	case len(s.pending) >= s.opts.QueueLimit || s.held+len(m.raw) > maxHeldBytes && s.held > 0:
		return service.Errorf(service.CodeQueueFull, "%d requests with %d MiB are not answered; wait for some to end", len(s.pending), s.held>>20)
	}
	m.raw = slices.Clone(m.raw)
	switch m.kind {
	case typeHello:
		s.greeting = m.raw
		if c, err := casingOf(m.body); err == nil {
			s.casing = cmp.Or(c, s.casing)
		}
	case typeShutdown:
		return s.shutdown(m)
	}
	s.pending = append(s.pending, &pending{msg: m, since: s.opts.Now()})
	s.held += len(m.raw)
	s.wake.Broadcast()
	return nil
}

// shutdown answers a shutdown itself: the process is ended when nothing is left to do. The mutex is held.
func (s *Supervisor) shutdown(m message) error {
	cancel, err := modeOf(m.body)
	if err != nil {
		return service.Errorf(service.CodeInvalid, "a shutdown takes mode, which is drain or cancel")
	}
	s.out.emit(event{id: m.id, name: "done", casing: m.casing, body: doneEvent{}})
	s.count(0, false)
	s.closeLocked(cancel, queue.ErrCancelled)
	return nil
}

// close takes no more messages; with cancel it gives up those that are not answered.
func (s *Supervisor) close(cancel bool, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked(cancel, cause)
}

func (s *Supervisor) closeLocked(cancel bool, cause error) {
	s.closing = true
	if cancel {
		s.cancelUnsent(cause)
		if len(s.pending) > 0 {
			s.internal(typeCancel, `{"all":true}`).lasting = true
		}
	}
	s.wake.Broadcast()
}

// cancelUnsent answers what the process has not been given. The mutex is held.
func (s *Supervisor) cancelUnsent(cause error) {
	for _, p := range slices.Clone(s.pending) {
		if !p.sent {
			s.drop(p)
			s.fail(p, service.Errorf(service.CodeCancelled, "%v", cause))
		}
	}
}

// terminate gives everything up, as the end of the context demands.
func (s *Supervisor) terminate(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing, s.stopped = true, true
	s.cancelUnsent(cause)
	if s.process != nil {
		s.process.Terminate(s.opts.Grace)
	}
	s.wake.Broadcast()
}

// fail answers a message with an error, unless it was answered. Nobody waits for internal ones. The mutex is held.
func (s *Supervisor) fail(p *pending, f *service.Error) {
	if p.internal() || p.silent {
		return
	}
	s.count(0, true)
	s.out.emit(event{id: p.msg.id, name: "error", casing: p.msg.casing, body: errorOf(f)})
}

// count counts an answer. The mutex is held.
func (s *Supervisor) count(images int, failed bool) {
	s.served.Requests++
	s.served.Images += images
	if failed {
		s.served.Errors++
	}
}

func (s *Supervisor) drop(p *pending) {
	if i := slices.Index(s.pending, p); i >= 0 {
		s.pending = slices.Delete(s.pending, i, i+1)
		s.held -= len(p.msg.raw)
	}
}

// internal adds a message of the supervisor's own after all others. The mutex is held.
func (s *Supervisor) internal(kind, body string) *pending {
	s.nth++
	id := fmt.Sprintf(`"%s%d"`, internalID, s.nth)
	line := fmt.Sprintf(`{"id":%s,"type":"%s","request":%s}`, id, kind, body)
	p := &pending{msg: message{id: json.RawMessage(id), kind: kind, raw: []byte(line)}, since: s.opts.Now()}
	s.pending = append(s.pending, p)
	s.held += len(p.msg.raw)
	return p
}
