// Package worker serves other programs: JSON lines in, one request each, and JSON lines out, the events of every request under its
// id. A Server translates between the lines and a service.Service, which does the work; a Supervisor runs a Server in a child process, and
// starts it again when it dies. The protocol is described in docs/worker.md.
package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Protocol is the version of the protocol. It is raised when a field changes its meaning or goes away; new fields, types and
// events do not raise it.
const Protocol = 1

// DefaultMaxLine is the longest line that is read where Options does not say, in bytes.
const DefaultMaxLine = 64 << 20

// Library is what a Server tells of libdaguerre.
type Library struct{ Version, Engine string }

// Options configure a Server. Its Service is described there; the zero value of every other field works.
type Options struct {
	service.Options
	Store service.Store // of pictures that do not come as base64

	// Library describes libdaguerre for the first event; nil: it is left out.
	Library     func() Library
	Version     string // of daguerre
	Supervised  bool   // told in the first event
	Restarts    int    // of a supervised process; told by status
	MaxLine     int    // bytes; 0: DefaultMaxLine
	CancelOnEOF bool   // give up what is unfinished when the input ends, instead of finishing it

	Stall time.Duration // see Server.Serve; 0: DefaultStall
}

// Server answers one client with a Service. Make one with New for each pair of streams.
type Server struct {
	*service.Service
	opts Options
	out  *emitter

	mu     sync.Mutex
	casing request.Casing // of what no request asked for

	lost     chan struct{} // closed when a device is lost
	lostOnce sync.Once
}

// New makes a Server.
func New(o Options) *Server {
	o.MaxLine, o.Stall = cmp.Or(max(o.MaxLine, 0), DefaultMaxLine), cmp.Or(max(o.Stall, 0), DefaultStall)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{Service: service.New(o.Options), opts: o, casing: request.SnakeCase, lost: make(chan struct{})}
}

// errEOF is why requests are given up at the end of the input.
var errEOF error = service.Errorf(service.CodeCancelled, "the input ended")

// Serve answers the lines of in on out until in ends, and then ends its work as the Options say; or until ctx ends, when everything
// unfinished is given up and ctx's error is returned. Every request is answered before it returns. A client that reads no
// more is as one that has gone: its requests are given up, and the error of writing is returned. A client that keeps its end open and does
// not read stops everything until it reads, or until ctx ends. After that it has the time Options.Stall to read each line. Then Serve
// returns; some lines were never written, and some goroutines run on until the process ends.
func (s *Server) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	s.out = newEmitter(out, s.opts.Now)
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, in) }()
	return s.out.await(ctx, s.opts.Stall, served)
}

func (s *Server) serve(ctx context.Context, in io.Reader) error {
	s.hello(nil, s.casing)
	ended := make(chan error, 1)
	go func() { ended <- s.read(newLineReader(in, s.opts.MaxLine)) }()
	var err error
	select {
	case err = <-ended:
		if err == nil && s.opts.CancelOnEOF {
			s.Abort(errEOF)
		}
	case <-ctx.Done():
		err = ctx.Err()
		s.Abort(err)
	case <-s.lost:
		return ErrDeviceLost
	case <-s.out.broken:
		err = io.ErrClosedPipe
		s.Abort(err)
	}
	return errors.Join(err, s.finish(ctx))
}

// ErrDeviceLost is returned by Serve of a supervised process whose device failed: another process can go on.
var ErrDeviceLost = errors.New("the device is lost; another process goes on")

// loseDevice ends the process's work without an answer to what is unfinished: its Supervisor has it done by another process.
func (s *Server) loseDevice() {
	s.lostOnce.Do(func() { close(s.lost) })
}

// finish waits for the unfinished requests and closes the models.
func (s *Server) finish(ctx context.Context) error {
	var err error
	gone, broken := ctx.Done(), s.out.broken
	s.Stop()
	for {
		n, told := s.Idle()
		if n == 0 {
			break
		}
		select {
		case <-told:
		case <-gone:
			gone, err = nil, ctx.Err()
			s.Abort(err)
		case <-broken:
			broken, err = nil, io.ErrClosedPipe
			s.Abort(err)
		}
	}
	s.Close()
	return err
}

// read answers lines until there are no more.
func (s *Server) read(lines *lineReader) error {
	for !s.Stopped() {
		line, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLineTooLong):
			s.refuse(message{id: idInPrefix(line), casing: s.fallback()}, tooLong(s.opts.MaxLine), lines.count)
		case err != nil:
			return err
		default:
			m, err := parse(line, s.fallback(), s.opts.Supervised, s.opts.Now())
			if err == nil {
				err = s.begin(&m)
			}
			if err != nil {
				s.refuse(m, err, lines.count)
			}
		}
	}
	return nil
}

// refuse answers a line that does not become a request.
func (s *Server) refuse(m message, err error, line int) {
	taken := s.Has(string(m.id))
	s.Refuse()
	s.out.refuse(m, s.Explain(err), line, taken)
}

func (s *Server) fallback() request.Casing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.casing
}

// begin starts what a message asks for.
func (s *Server) begin(m *message) error {
	ask := service.Ask{ID: string(m.id), Type: m.kind, Tell: s.teller(m)}
	switch m.kind {
	case typeLoad, typeGenerate, typeBatch:
		return s.decode(m, ask)
	case typeUnload:
		name, err := nameOf(m.body)
		if err != nil {
			return s.Fail(ask, err)
		}
		return s.Unload(ask, name)
	case typeLoRA:
		return s.lora(m, ask)
	case typeControlNet:
		return s.controlNet(m, ask)
	}
	a := answers[m.kind]
	return s.Do(ask, a.wait, func(ctx context.Context) (any, error) {
		if a.nothing {
			if err := fields(m.body, nil); err != nil {
				return nil, err
			}
		}
		return a.f(s, ctx, m)
	})
}

// decode begins with a request of a run file's shape.
func (s *Server) decode(m *message, ask service.Ask) error {
	body := m.body
	if m.kind == typeLoad {
		body = loadBody(m.body)
	}
	run, err := request.Decode(body)
	switch {
	case err != nil && s.Has(ask.ID):
		return service.Duplicate(ask.ID)
	case err != nil:
		return err
	case m.kind == typeLoad:
		name, err := nameOf(m.body)
		if err != nil {
			return s.Fail(ask, err)
		}
		if m.reload {
			return s.Reload(ask, name, run.Model, m.current)
		}
		return s.Load(ask, name, run.Model)
	}
	m.raw, m.body = nil, nil // there may be inputs in them, and m stays until the end
	d := m.deliver
	d.Store, d.Every = s.opts.Store, minProgress
	return s.Make(ask, service.Work{Run: run, Priority: m.priority, Deadline: m.deadline, Single: m.kind == typeGenerate, Delivery: d,
		Changes: changesOf(m)})
}

// hello tells who is here.
func (s *Server) hello(id json.RawMessage, c request.Casing) {
	body := helloEvent{Protocol: Protocol, Version: s.opts.Version, Types: Types, MaxLine: s.opts.MaxLine, Supervised: s.opts.Supervised,
		Pid: os.Getpid()}
	if s.opts.Library != nil {
		l := s.opts.Library()
		body.Library, body.Engine = l.Version, l.Engine
	}
	s.out.emit(event{id: id, name: "hello", casing: c, body: body})
}
