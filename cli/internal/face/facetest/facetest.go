// Package facetest serves faces in the test's own process, with the fake backend, a real queue and a real store.
package facetest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/blobs"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Server is a server of faces.
type Server struct {
	*httptest.Server
	Studio *studio.Studio
	Caller studio.Caller // whom requests are taken to be from
}

// Start serves faces until the test ends. The header Owner of a request says who asks. b may be nil.
func Start(t *testing.T, b *fake.Backend, files catalog.Options, faces ...face.Face) *Server {
	t.Helper()
	if b == nil {
		b = &fake.Backend{}
	}
	if len(files.Models) == 0 {
		files.Models = []string{pipeline.NanoModel}
	}
	ctx, stop := context.WithCancel(context.Background())
	dir := t.TempDir()
	cat, err := catalog.New(files)
	require.NoError(t, err)
	store, err := blobs.Open(ctx, filepath.Join(dir, "store"))
	require.NoError(t, err)
	q, err := durable.Open(ctx, durable.Options{Dir: dir})
	require.NoError(t, err)
	made := service.New(service.Options{
		Open: func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
			return pipeline.Open(ctx, cfg, pipeline.WithBackend(b))
		},
		Devices: b.Devices,
		Classify: func(err error) service.Code {
			if errors.Is(err, request.ErrInvalid) {
				return service.CodeInvalid
			}
			return service.CodeFailed
		},
		Texts: func(_ context.Context, _ request.Model, plan *pipeline.Result, _ pipeline.Image) ([]imagefile.Text, error) {
			return []imagefile.Text{{Keyword: "parameters", Value: plan.Request.Prompt + "\nSteps: 1, Sampler: Euler, Seed: 7"},
				{Keyword: "daguerre", Value: "{}"}}, nil
		},
	})
	current := func() *catalog.Catalog { return cat }
	worker := dispatch.New(dispatch.Options{Queue: q, Store: store, Service: made, Catalog: current, Name: "test", Models: 1})
	s := &Server{Studio: studio.New(studio.Options{Queue: q, Store: store, Service: made, Catalog: current}), Caller: studio.Caller{Owner: "local"}}
	mux := http.NewServeMux()
	for _, f := range faces {
		f.Register(mux, s.Studio)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := s.Caller
		if owner := r.Header.Get("Owner"); owner != "" {
			c.Owner = owner
		}
		mux.ServeHTTP(w, r.WithContext(face.WithCaller(r.Context(), c)))
	}))
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		worker.Run(ctx)
	}()
	t.Cleanup(func() {
		s.Close()
		stop()
		<-worked
		made.Stop()
		made.Close()
		q.Close()
		_ = store.Close() // its folder goes with the test
	})
	return s
}
