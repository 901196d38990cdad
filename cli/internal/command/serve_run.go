package command

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/serve"
	"github.com/daguerre-go/daguerre/cli/internal/trace"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/studio"
)

// server is a running serve command.
type server struct {
	serveOptions
	*site

	tls         *tls.Config // nil: without
	certificate atomic.Pointer[tls.Certificate]
	tokens      *serve.Tokens // the last that could be read; nil: none are needed

	listen net.Listener
	fleet  *fleetCatalog // nil: there are no workers elsewhere
	studio *studio.Studio
	http   *serve.Server
}

// open opens everything that the server needs.
func (s *server) open(ctx context.Context) error {
	if err := s.load(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return usagef(name+" serve", "--addr: %v", err)
	}
	s.listen = l
	s.closing(func() error { _ = l.Close(); return nil }) // it may be closed already
	if err := s.openStores(ctx); err != nil {
		return err
	}
	o := studio.Options{Queue: s.runs, Store: s.pixels, Catalog: s.site.catalog.Load, Check: checkJobs, Plan: s.env.Plan,
		Upscale: s.env.upscale, Limit: s.limit, Log: s.log, Now: s.env.Now}
	if s.apiOnly {
		s.fleet = newFleetCatalog(s.runs, s.log)
		s.service = service.New(service.Options{Open: noModels, Devices: s.fleet.devices, Classify: classify, Now: s.env.Now})
		s.closing(func() error { s.service.Close(); return nil })
		if err := s.fleet.read(ctx); err != nil {
			s.log.Warn("the files of the workers are not known yet", "error", err) // follow tries again
		}
		o.Catalog, o.Upscale = s.fleet.current, nil
	} else {
		s.openWorker()
		if s.site.queue.URL+s.site.queue.Listen != "" {
			s.fleet = newFleetCatalog(s.runs, s.log)
			s.fleet.own = s.site.catalog.Load
		}
	}
	o.Service = s.service
	s.studio = studio.New(o)
	wrap, err := s.traces(ctx)
	if err != nil {
		return err
	}
	s.http = serve.New(serve.Options{Studio: s.studio, Faces: faces, Version: Version(), Tokens: s.tokens, Insecure: s.insecure,
		Origins: s.origins, MaxBody: int64(s.maxBody) << 20, Connections: s.connections, Log: s.log, Wrap: wrap})
	return nil
}

// traces begins to send traces, where the environment says so.
func (s *server) traces(ctx context.Context) (wrap func(http.Handler) http.Handler, err error) {
	if !trace.Wanted() {
		return nil, nil
	}
	wrap, stop, err := trace.Start(ctx, Version())
	if err != nil {
		return nil, err
	}
	s.closing(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := stop(ctx); err != nil {
			s.log.Warn("the last traces could not be sent", "error", err)
		}
		return nil
	})
	return wrap, nil
}

// load reads the models, the tokens and the certificate, at the start and at SIGHUP. What cannot be read leaves everything as it was.
func (s *server) load() error {
	var c *catalog.Catalog
	var err error
	if !s.apiOnly {
		if c, err = catalog.New(s.site.offered()); err != nil {
			return err
		}
	}
	tokens := s.tokens
	if s.serveOptions.tokens != "" {
		if tokens, err = serve.ReadTokens(s.serveOptions.tokens, s.tokens); err != nil {
			return fmt.Errorf("--token-file: %w", err)
		}
	}
	if s.tls != nil {
		cert, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
		s.certificate.Store(&cert)
		s.tls.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate.Load(), nil }
		s.tls.NextProtos = []string{"http/1.1"}
	}
	s.site.catalog.Store(c)
	s.tokens = tokens
	return nil
}

// run serves until ctx ends. Then it takes nothing new, gives back what it has not begun with, finishes the rest, and ends.
func (s *server) run(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var work sync.WaitGroup
	if s.worker != nil {
		work.Go(func() { s.worker.Run(working) })
	}
	if s.fleet != nil {
		work.Go(func() { s.fleet.follow(working) })
	}
	work.Go(func() { s.studio.Tend(working) })
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listen, s.tls) }()
	s.announce()
	var hangups <-chan struct{}
	if s.env.Hangups != nil {
		hangups = s.env.Hangups()
	}
	for {
		select {
		case <-hangups:
			s.reload()
			continue
		case err := <-served:
			stop()
			work.Wait()
			return err
		case <-ctx.Done():
		}
		break
	}
	s.log.Info("the server ends: it takes nothing new, and finishes what it has begun with")
	s.http.Drain()
	stop()
	work.Wait()
	s.service.Stop()
	err := s.http.Close()
	return errors.Join(err, <-served)
}

// reload reads again what SIGHUP has read again.
func (s *server) reload() {
	if err := s.load(); err != nil {
		s.log.Error("nothing is changed: what SIGHUP asks to read again is wrong", "error", err)
		return
	}
	s.http.SetTokens(s.tokens)
	s.log.Info("models, tokens and certificate were read again")
}

// announce prints where the server listens.
func (s *server) announce() {
	scheme := "http://"
	if s.tls != nil {
		scheme = "https://"
	}
	url := scheme + s.listen.Addr().String()
	s.log.Info("ready", "url", url, "data", s.site.data, "tokens", s.tokens != nil)
	if s.json {
		_ = json.NewEncoder(exact(s.env.Stdout)).Encode(map[string]any{"event": "ready", "url": url, "pid": os.Getpid(), "version": Version(),
			"time": s.env.Now().UTC().Format(time.RFC3339)}) // nowhere is left to complain to
		return
	}
	_, _ = fmt.Fprintf(s.env.Stdout, "ready: %s\n", url)
}
