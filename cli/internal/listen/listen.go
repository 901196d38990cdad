// Package listen makes HTTP servers that slow and idle clients cannot hold up: the time for headers, the idle time and the number of
// connections are limited. Where there is no room for a new connection, the one that has been idle for longest is closed.
package listen

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// DefaultConnections is the largest number of connections where Options does not say. The open files of a process are limited, too: by
// default 1024 on many machines.
const DefaultConnections = 512

// Options configure a Server. The zero value works.
type Options struct {
	Connections int           // at once; 0: DefaultConnections
	Header      time.Duration // for the headers of a request, from the first byte, or from the beginning of the connection; 0: 10 s
	Idle        time.Duration // between two requests; 0: a minute
	Log         *slog.Logger  // of broken connections; nil: none
}

// Server serves HTTP on listeners.
type Server struct {
	http  http.Server
	limit int

	mu    sync.Mutex
	conns map[net.Conn]state
}

// state is what a connection does, and since when.
type state struct {
	waits bool // it is new or idle
	since time.Time
}

// New makes a Server.
func New(h http.Handler, o Options) *Server {
	def := func(d, value time.Duration) time.Duration {
		if d <= 0 {
			return value
		}
		return d
	}
	if o.Connections <= 0 {
		o.Connections = DefaultConnections
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{limit: o.Connections, conns: map[net.Conn]state{}}
	s.http = http.Server{Handler: h, ReadHeaderTimeout: def(o.Header, 10*time.Second), IdleTimeout: def(o.Idle, time.Minute),
		MaxHeaderBytes: 64 << 10, ConnState: s.track, ConnContext: s.name, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)}
	return s
}

// track notes what a connection does. A connection beyond the limit takes the place of the one that has waited for longest; where none
// waits, it is closed itself.
func (s *Server) track(c net.Conn, to http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch to {
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, c)
		return
	case http.StateNew:
		if len(s.conns) >= s.limit {
			victim := s.oldest()
			if victim == nil {
				_ = c.Close() // its client sees it
				return
			}
			_ = victim.Close()
			delete(s.conns, victim)
		}
	}
	s.conns[c] = state{to != http.StateActive, time.Now()}
}

type connKey struct{}

// handle is a connection and its server, for Waits.
type handle struct {
	s *Server
	c net.Conn
}

// name has the contexts of a connection's requests tell which one it is.
func (s *Server) name(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, handle{s, c})
}

// Waits tells that the server waits for the client of a request, for the rest of its body for example: the connection gives way to new ones
// as idle ones do. waits is false when the server works again.
func Waits(ctx context.Context, waits bool) {
	h, ok := ctx.Value(connKey{}).(handle)
	if !ok {
		return
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if st, ok := h.s.conns[h.c]; ok && st.waits != waits {
		h.s.conns[h.c] = state{waits, time.Now()}
	}
}

// oldest is the connection that has waited for longest; nil: none waits. The mutex is held.
func (s *Server) oldest() (c net.Conn) {
	for other, st := range s.conns {
		if st.waits && (c == nil || st.since.Before(s.conns[c].since)) {
			c = other
		}
	}
	return c
}

// Connections is how many there are.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Serve answers on a listener until it is closed.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown takes no more connections and waits until what is being answered has ended, or ctx has; then it closes the rest.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	return err
}

// Close closes all connections.
func (s *Server) Close() error { return s.http.Close() }
