package worker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Library is what a Server tells of libdaguerre.
type Library struct{ Version, Engine string }

// Options configure a Server. Open is needed; the zero value of every other field works.
type Options struct {
	// Open opens a model.
	Open func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error)
	// Devices lists what can be computed on; nil: the type devices fails.
	Devices func(ctx context.Context) ([]backend.Device, error)
	// Library describes libdaguerre for the first event; nil: it is left out.
	Library func() Library
	// Check finds what is wrong with a run beyond its own Validate; nil: nothing.
	Check func(run request.Run, errs *request.Errors)
	// ExitCode is the exit code that the command line would end with for an error; nil: 1.
	ExitCode func(err error) int
	// Texts returns the text chunks of a PNG; nil: none.
	Texts func(ctx context.Context, m request.Model, plan *pipeline.Result, img pipeline.Image) ([]imagefile.Text, error)

	Version     string // of daguerre
	Supervised  bool   // told in the first event
	Restarts    int    // of a supervised process; told by status
	MaxLine     int    // bytes; 0: DefaultMaxLine
	QueueLimit  int    // unfinished requests; 0: DefaultQueueLimit
	MaxModels   int    // open at once; 0: 1
	CancelOnEOF bool   // give up what is unfinished when the input ends, instead of finishing it
	Now         func() time.Time
}

func (o *Options) fill() {
	if o.MaxLine <= 0 {
		o.MaxLine = DefaultMaxLine
	}
	if o.QueueLimit <= 0 {
		o.QueueLimit = DefaultQueueLimit
	}
	if o.MaxModels <= 0 {
		o.MaxModels = 1
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ExitCode == nil {
		o.ExitCode = func(error) int { return 1 }
	}
}

// Server answers one client. Make one with New for each pair of streams.
type Server struct {
	opts   Options
	out    *emitter
	files  output.Writer
	began  time.Time
	stop   context.CancelCauseFunc
	ctx    context.Context // ends when everything is to be given up
	active sync.WaitGroup  // goroutines of orders and models

	// computing is held by the model that computes, so that several do not slow each other.
	computing sync.Mutex

	mu      sync.Mutex
	casing  request.Casing    // of what no request asked for
	orders  map[string]*order // unfinished, by the JSON of their ids
	nth     int               // orders accepted
	models  []*entry          // loaded or loading, by age
	current *entry            // used by requests that name no model
	closing bool
	idle    chan struct{} // closed, and replaced, when an order ends
	served  counts
}

// counts are what status tells of the past.
type counts struct {
	Requests int `json:"requests"` // answered
	Images   int `json:"images"`
	Errors   int `json:"errors"` // requests that ended with an error
}

// New makes a Server.
func New(o Options) *Server {
	o.fill()
	return &Server{opts: o, casing: request.SnakeCase, orders: map[string]*order{}, idle: make(chan struct{})}
}

// errEOF is why orders are given up at the end of the input.
var errEOF = errors.New("the input ended")

// Serve answers the lines of in on out until in ends, and then ends its work as the Options say; or until ctx ends, when everything
// unfinished is given up and ctx's error is returned. Every request is answered before it returns. A client that reads no
// more is as one that has gone: its requests are given up, and the error of writing is returned.
func (s *Server) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	s.out = newEmitter(out, s.opts.Now)
	s.began = s.opts.Now()
	s.ctx, s.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	defer s.stop(nil)
	s.hello(nil, s.casing)
	ended := make(chan error, 1)
	go func() { ended <- s.read(newLineReader(in, s.opts.MaxLine)) }()
	var err error
	select {
	case err = <-ended:
		if err == nil && s.opts.CancelOnEOF {
			s.cancelAll(errEOF)
		}
	case <-ctx.Done():
		err = ctx.Err()
		s.cancelAll(err)
	case <-s.out.broken:
		err = io.ErrClosedPipe
		s.cancelAll(err)
	}
	return errors.Join(err, s.finish(ctx))
}

// finish waits for the unfinished orders and closes the models.
func (s *Server) finish(ctx context.Context) error {
	var err error
	gone, broken := ctx.Done(), s.out.broken
	for {
		s.mu.Lock()
		s.closing = true
		n, idle := len(s.orders), s.idle
		s.mu.Unlock()
		if n == 0 {
			break
		}
		select {
		case <-idle:
		case <-gone:
			gone, err = nil, ctx.Err()
			s.cancelAll(err)
		case <-broken:
			broken, err = nil, io.ErrClosedPipe
			s.cancelAll(err)
		}
	}
	s.stop(nil)
	s.mu.Lock()
	models := s.models
	s.mu.Unlock()
	for _, e := range models {
		e.push(item{})
	}
	s.active.Wait()
	return err
}

// cancelAll gives up every order.
func (s *Server) cancelAll(cause error) {
	s.mu.Lock()
	s.closing = true
	var all []*order
	for _, o := range s.orders {
		all = append(all, o)
	}
	s.mu.Unlock()
	for _, o := range all {
		o.cancelWith(cause)
	}
	s.stop(cause)
}

// read answers lines until there are no more.
func (s *Server) read(lines *lineReader) error {
	for {
		line, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLineTooLong):
			id := idInPrefix(line)
			s.refuse(message{id: id, casing: s.fallback()}, failf(codeLineTooLong, "the line is longer than %d bytes; send files by their paths, or raise --max-line", s.opts.MaxLine), lines.count)
		case err != nil:
			return err
		default:
			s.receive(line, lines.count)
		}
		s.mu.Lock()
		closing := s.closing
		s.mu.Unlock()
		if closing {
			return nil
		}
	}
}

// receive answers one line.
func (s *Server) receive(line []byte, number int) {
	m, bad := parse(line, s.fallback(), s.opts.Supervised, s.opts.Now())
	if bad == nil {
		bad = s.accept(m)
	}
	if bad != nil {
		s.refuse(m, bad, number)
	}
}

func (s *Server) fallback() request.Casing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.casing
}

// refuse answers a line that is no request, or none that can be served. Where its id belongs to another request that goes on, the
// answer has none.
func (s *Server) refuse(m message, bad *failure, number int) {
	body := errorEvent{Code: bad.code, Message: bad.message, ExitCode: bad.exit, Fields: bad.fields}
	s.mu.Lock()
	_, taken := s.orders[string(m.id)]
	s.served.Requests++
	s.served.Errors++
	s.mu.Unlock()
	if m.id == nil || taken {
		body.Line, body.Ref, m.id = number, m.id, nil
	}
	s.out.emit(event{id: m.id, name: "error", casing: m.casing, body: body})
}

// accept takes a message as an order and begins with it.
func (s *Server) accept(m message) *failure {
	run, bad := s.decode(m)
	if bad != nil {
		if _, taken := s.order(m.id); taken {
			return duplicate(m)
		}
		return bad
	}
	o := newOrder(s, m, run)
	s.mu.Lock()
	_, taken := s.orders[string(m.id)]
	full := len(s.orders) >= s.opts.QueueLimit && o.isWork()
	switch {
	case taken:
		s.mu.Unlock()
		return duplicate(m)
	case s.closing:
		s.mu.Unlock()
		return failf(codeShuttingDown, "the worker takes no more requests")
	case full:
		s.mu.Unlock()
		return failf(codeQueueFull, "%d requests are unfinished; wait for some to end", s.opts.QueueLimit)
	}
	position := len(s.orders)
	s.orders[string(m.id)] = o
	s.nth++
	s.mu.Unlock()
	if o.isWork() {
		o.emit("accepted", acceptedEvent{Position: position})
	}
	o.repeat(m.changes)
	s.begin(o)
	return nil
}

func duplicate(m message) *failure {
	return failf(codeDuplicateID, "a request with the id %s is not finished yet; give each its own", m.id)
}

func (s *Server) order(id json.RawMessage) (*order, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.orders[string(id)]
	return o, ok
}

// decode reads the request of a message that has one of a run file's shape.
func (s *Server) decode(m message) (request.Run, *failure) {
	switch m.kind {
	case typeGenerate, typeBatch, typeLoad:
	default:
		return request.Run{}, nil
	}
	body := m.body
	if m.kind == typeLoad {
		body = loadBody(m.body)
	}
	run, err := request.Decode(body)
	if err == nil {
		err = s.check(m.kind, run)
	}
	if err != nil {
		return run, s.failureOf(err)
	}
	return run, nil
}

// check checks a decoded run in full.
func (s *Server) check(kind string, run request.Run) error {
	if kind == typeLoad {
		return run.Validate()
	}
	var errs request.Errors
	if err := run.ValidateJobs(); err != nil && !errors.As(err, &errs) {
		return err
	}
	if kind == typeGenerate && len(run.Jobs) > 1 {
		errs.Add("jobs", "has %d jobs; the type batch takes several", len(run.Jobs))
	}
	if s.opts.Check != nil {
		s.opts.Check(run, &errs)
	}
	return errs.Err()
}

// begin starts an order, or does it at once where that is quick.
func (s *Server) begin(o *order) {
	switch o.msg.kind {
	case typeLoad:
		s.load(o)
	case typeUnload:
		s.unload(o)
	case typeGenerate, typeBatch:
		s.enqueue(o)
	default:
		s.control(o)
	}
}

// ended forgets an order.
func (s *Server) ended(o *order, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.orders, string(o.msg.id))
	s.served.Requests++
	s.served.Images += o.images
	if failed {
		s.served.Errors++
	}
	close(s.idle)
	s.idle = make(chan struct{})
}

// hello tells who is here.
func (s *Server) hello(id json.RawMessage, c request.Casing) helloEvent {
	body := helloEvent{Protocol: Protocol, Version: s.opts.Version, Types: Types, MaxLine: s.opts.MaxLine, Supervised: s.opts.Supervised, Pid: os.Getpid()}
	if s.opts.Library != nil {
		l := s.opts.Library()
		body.Library, body.Engine = l.Version, l.Engine
	}
	s.out.emit(event{id: id, name: "hello", casing: c, body: body})
	return body
}
