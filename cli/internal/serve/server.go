// Package serve is the HTTP server: it guards, logs and counts what comes in, and hands it to the own API and to the other faces.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/cli/internal/listen"
	"github.com/daguerre-go/daguerre/internal/studio"
)

// Options configure a Server.
type Options struct {
	Studio      *studio.Studio
	Faces       []face.Face
	Version     string
	Tokens      *Tokens       // nil: everybody who reaches the server may use it
	Insecure    bool          // without tokens, on a network that is trusted
	Origins     []string      // of pages of other sites that may use the server; "*": all
	MaxBody     int64         // bytes of a request; 0: DefaultMaxBody
	BodyTime    time.Duration // for a body, besides what its bytes take; 0: DefaultBodyTime
	Connections int           // at once; 0: as listen has it
	Log         *slog.Logger
	Wrap        func(http.Handler) http.Handler // around everything, for traces; nil: nothing
}

// DefaultMaxBody is the largest body of a request where Options does not say: a picture to start from, its mask and control pictures, as
// base64.
const DefaultMaxBody = 64 << 20

// CheckOrigin reports what is wrong with an origin that is to be let in.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "") {
		return fmt.Errorf("%q is no origin; write for example https://studio.example.com", origin)
	}
	return nil
}

// Server answers HTTP requests.
type Server struct {
	o        Options
	guard    *guard
	mux      *http.ServeMux
	listen   *listen.Server
	metrics  *metrics
	draining atomic.Bool
	ctx      context.Context // of all requests; ends with the server
	stop     context.CancelFunc
}

// New makes a Server.
func New(o Options) *Server {
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.BodyTime <= 0 {
		o.BodyTime = DefaultBodyTime
	}
	s := &Server{o: o, guard: newGuard(o), mux: http.NewServeMux()}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.metrics = newMetrics(o.Studio, prometheus.NewRegistry())
	newAPI(s.mux, o.Studio, o.Version, o.MaxBody)
	s.health()
	for _, f := range o.Faces {
		f.Register(s.mux, o.Studio)
	}
	var handler http.Handler = http.HandlerFunc(s.answer)
	if o.Wrap != nil {
		handler = o.Wrap(handler)
	}
	s.listen = listen.New(handler, listen.Options{Connections: o.Connections, Log: o.Log})
	return s
}

// SetTokens replaces those who may use the server.
func (s *Server) SetTokens(t *Tokens) { s.guard.tokens.Store(t) }

// answer answers a request.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	id := requestID(r)
	log := s.o.Log.With("request", id)
	ctx, cancel := context.WithCancel(face.WithRequest(r.Context(), id, log))
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	a := bounded(w, r.WithContext(ctx), s.o.MaxBody, s.o.BodyTime)
	r = a.request
	a.Header().Set("X-Request-Id", id)
	a.Header().Set("X-Content-Type-Options", "nosniff")
	handler, route := s.mux.Handler(r)
	caller, problem := s.guard.admit(r)
	s.metrics.begin(route)
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			log.Error("a handler panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if a.status == 0 {
				s.guard.refuse(a, r, &studio.Problem{Code: "failed", Message: "the server failed; its log tells more"})
			}
		}
		a.finish()
		s.metrics.end(route, r.Method, a.status, time.Since(began))
		log.Info("http", "method", r.Method, "path", r.URL.Path, "status", a.status, "bytes", a.bytes, "owner", caller.Owner,
			"from", addressOf(r), "ms", float64(time.Since(began).Microseconds())/1000)
	}()
	if s.guard.share(a, r) {
		return
	}
	switch {
	case problem != nil:
		s.guard.refuse(a, r, problem)
	case route == "":
		s.lost(a, r, handler)
	case s.draining.Load() && r.Method == http.MethodPost:
		s.guard.refuse(a, r, &studio.Problem{Kind: studio.Unavailable, Code: "shutting_down", After: 5 * time.Second,
			Message: "the server ends and takes nothing new"})
	default:
		s.mux.ServeHTTP(a, r.WithContext(face.WithCaller(r.Context(), caller)))
	}
}

// lost answers a request that no handler takes: 404, or 405 with the methods that are.
func (s *Server) lost(w http.ResponseWriter, r *http.Request, handler http.Handler) {
	seen := &blank{header: http.Header{}}
	handler.ServeHTTP(seen, r)
	p := &studio.Problem{Kind: studio.NotFound, Code: "not_found", Message: "there is nothing at this path"}
	if seen.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", seen.header.Get("Allow"))
		p = &studio.Problem{Kind: studio.WrongMethod, Code: "wrong_method", Message: "this path takes " + seen.header.Get("Allow")}
	}
	s.guard.refuse(w, r, p)
}

// blank is a ResponseWriter that keeps the status only.
type blank struct {
	header http.Header
	status int
}

func (b *blank) Header() http.Header         { return b.header }
func (b *blank) Write(p []byte) (int, error) { return len(p), nil }
func (b *blank) WriteHeader(status int)      { b.status = status }

// requestID is the id that a proxy gave a request, if it is a short plain text, or a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > 64 || slices.ContainsFunc([]byte(id), func(c byte) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }) {
		return newRequestID()
	}
	return id
}

// health adds what those who run the server ask.
func (s *Server) health() {
	s.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	s.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		err := s.o.Studio.Ready(r.Context())
		if s.draining.Load() {
			err = errors.New("the server ends")
		}
		if err != nil {
			face.Log(r.Context()).Warn("not ready", "error", err)
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	s.mux.Handle("GET /metrics", s.metrics.handler())
}

// Serve answers on a listener until it is closed, by TLS where a configuration is given.
func (s *Server) Serve(l net.Listener, config *tls.Config) error {
	if config != nil {
		l = tls.NewListener(l, config)
	}
	return s.listen.Serve(l)
}

// Drain takes nothing new. What is being answered goes on.
func (s *Server) Drain() { s.draining.Store(true) }

// Close ends what is being answered, after a moment.
func (s *Server) Close() error {
	s.Drain()
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return s.listen.Shutdown(ctx)
}

// closeTime is how long answers may take to end once the server closes.
const closeTime = 5 * time.Second
