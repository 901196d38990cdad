// Package servetest starts a whole server on the fake backend, for the tests of its faces.
package servetest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/cli/internal/serve"
	"github.com/daguerre-go/daguerre/internal/blobs"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Options configure a Server. The zero value works.
type Options struct {
	Dir     string                                          // where everything is kept; empty: a temporary folder
	Faces   []face.Face                                     // beside the own API
	Catalog catalog.Options                                 // no models: nano
	Hook    func(ctx context.Context, call fake.Call) error // of the backend, called before each operation; nil: none
	Serve   serve.Options                                   // but Studio, Faces and Log
	Queue   durable.Options                                 // but Dir and Log. With a URL, servers of one Dir share their runs
	Window  int                                             // pictures in work at most; 0: dispatch.DefaultWindow
	Limit   int                                             // of unfinished runs
	Check   func(request.Run, *request.Errors)
	Idle    bool // nothing is made
}

// Server is a running server.
type Server struct {
	URL    string
	Dir    string
	Nats   string // Options.Queue.URL
	Studio *studio.Studio
	Queue  *durable.Queue
	Store  *blobs.Store
	HTTP   *serve.Server
	Log    *Log
	Worker *dispatch.Worker

	end func()
}

// Local is who asks a server without tokens.
var Local = studio.Caller{Owner: "local"}

// Log keeps what was logged.
type Log struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

// String returns what was logged so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Start starts a server, which ends with the test, or with Stop.
func Start(t testing.TB, o Options) *Server {
	ctx := context.Background()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if len(o.Catalog.Models)+len(o.Catalog.ModelDirs) == 0 {
		o.Catalog.Models = []string{pipeline.NanoModel}
	}
	s := &Server{Dir: o.Dir, Nats: o.Queue.URL, Log: &Log{}}
	log := slog.New(slog.NewJSONHandler(s.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cat, err := catalog.New(o.Catalog)
	require.NoError(t, err)
	s.Store, err = blobs.Open(ctx, filepath.Join(o.Dir, "store"))
	require.NoError(t, err)
	o.Queue.Dir, o.Queue.Log = o.Dir, log
	s.Queue, err = durable.Open(ctx, o.Queue)
	require.NoError(t, err)
	b := &fake.Backend{Hook: o.Hook}
	made := service.New(service.Options{
		Open: func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
			return pipeline.Open(ctx, cfg, pipeline.WithBackend(b))
		},
		Devices: b.Devices, Texts: texts, Limit: 1 << 20, MaxModels: 1,
		Classify: func(err error) service.Code {
			switch {
			case errors.Is(err, request.ErrInvalid):
				return service.CodeInvalid
			case errors.Is(err, os.ErrNotExist):
				return service.CodeBadFile
			case errors.Is(err, backend.ErrOutOfMemory):
				return service.CodeOutOfMemory
			}
			return service.CodeFailed
		},
	})
	current := func() *catalog.Catalog { return cat }
	worker := dispatch.New(dispatch.Options{Queue: s.Queue, Store: s.Store, Service: made, Catalog: current, Name: "worker." + durable.NewID(),
		Shared: o.Queue.URL != "", Window: o.Window, Log: log})
	s.Worker = worker
	s.Studio = studio.New(studio.Options{Queue: s.Queue, Store: s.Store, Service: made, Catalog: current, Check: o.Check, Plan: pipeline.Plan,
		Limit: o.Limit, Log: log})
	o.Serve.Studio, o.Serve.Faces, o.Serve.Log, o.Serve.Version = s.Studio, o.Faces, log, "test"
	s.HTTP = serve.New(o.Serve)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.URL = "http://" + l.Addr().String()
	working, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		if !o.Idle {
			worker.Run(working)
		}
	})
	running.Go(func() { _ = s.HTTP.Serve(l, nil) })
	s.end = sync.OnceFunc(func() {
		stop()
		_ = s.HTTP.Close()
		running.Wait()
		made.Close()
		s.Queue.Close()
		_ = s.Store.Close()
	})
	t.Cleanup(s.end)
	return s
}

// Stop ends the server in order. Another one may be started in its folder.
func (s *Server) Stop() { s.end() }

// texts puts the prompt and some settings into PNG files, and a manifest.
func texts(_ context.Context, _ request.Model, plan *pipeline.Result, _ pipeline.Image) ([]imagefile.Text, error) {
	return []imagefile.Text{{Keyword: "parameters", Value: plan.Request.Prompt + "\nSteps: 1, Sampler: Euler, Seed: 7"},
		{Keyword: "daguerre", Value: `{"prompt": "x"}`}}, nil
}
