// Package serve is the HTTP server: it guards, logs and counts what comes in, and hands it to the own API and to other faces.
package serve

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/studio"
)

// Options configure a Server.
type Options struct {
	Studio  *studio.Studio
	Faces   []face.Face
	Version string
	MaxBody int64 // bytes of a request; 0: DefaultMaxBody
	Log     *slog.Logger
}

// DefaultMaxBody is the largest body of a request: a picture to start from, its mask and control pictures, as base64.
const DefaultMaxBody = 64 << 20

// Server answers HTTP requests.
type Server struct {
	o    Options
	mux  *http.ServeMux
	http *http.Server
}

// New makes a Server.
func New(o Options) *Server {
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	s := &Server{o: o, mux: http.NewServeMux()}
	newAPI(s.mux, o.Studio, o.Version, o.MaxBody)
	for _, f := range o.Faces {
		f.Register(s.mux, o.Studio)
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)}
	return s
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := face.WithCaller(face.WithRequest(r.Context(), "", s.o.Log), studio.Caller{Owner: "local", Admin: true})
	s.mux.ServeHTTP(w, r.WithContext(ctx))
}

// Serve answers on a listener until ctx ends, and then lets what is being answered end.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	done := make(chan error, 1)
	go func() { done <- s.http.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := s.http.Shutdown(end)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	<-done
	return err
}
