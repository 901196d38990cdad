package command

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/blobs"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// siteOptions are what serve and work have in common: where runs and pictures are kept, and what is computed with.
type siteOptions struct {
	pull        []string // models that work fetches where runs wait for them
	data, store string
	queue       durable.Options // but Log and Now
	catalog     catalog.Options
	models      int
	grace       time.Duration
	verbose     bool
}

func siteOptionsOf(c *cli.Context) (siteOptions, error) {
	o := siteOptions{data: c.String("data"), store: c.String("store"), models: c.Int("open-models"), grace: c.Duration("grace"),
		verbose: c.Bool("verbose"),
		queue: durable.Options{URL: c.String("nats"), Creds: c.String("nats-creds"), CA: c.String("nats-ca"), Replicas: c.Int("replicas"),
			Attempts: c.Int("attempts")},
		catalog: catalog.Options{Models: c.StringSlice("model"), ModelDirs: c.StringSlice("model-dir"), LoRAs: c.StringSlice("lora-dir"),
			Nets: c.StringSlice("controlnet-dir"), IPAdapters: c.StringSlice("ip-adapter-dir"),
			Embeddings: c.StringSlice("embedding-dir"), VAEs: c.StringSlice("vae-dir"),
			Refiners: c.StringSlice("refiner-dir"), Upscalers: c.StringSlice("upscaler-dir"), Detectors: c.StringSlice("detector-dir"),
			Wildcards: c.StringSlice("wildcard-dir"),
			Styles:    c.StringSlice("style-file")}}
	return o, cmp.Or(o.check(c.Command.HelpName), inRange(c, "open-models", o.models, 1, 64), inRange(c, "attempts", o.queue.Attempts, 1, 100))
}

// check finds flags that do not go together.
func (o siteOptions) check(path string) error {
	switch {
	case o.queue.URL == "" && (o.queue.Creds != "" || o.queue.CA != "" || o.queue.Replicas > 0):
		return usagef(path, "--nats-creds, --nats-ca and --replicas are of the servers that --nats names")
	case o.grace < 0:
		return usagef(path, "--grace is %s; it must be 0 or more", o.grace)
	}
	return nil
}

// offered is the catalog's options where none may be given: nano stands for no model at all.
func (o siteOptions) offered() catalog.Options {
	if len(o.catalog.Models)+len(o.catalog.ModelDirs)+len(o.pull) == 0 {
		o.catalog.Models = []string{pipeline.NanoModel}
	}
	return o.catalog
}

// site is what serve and work have open, in the order in which it is opened. It is closed in the opposite order.
type site struct {
	siteOptions
	env     Env
	log     *slog.Logger
	catalog atomic.Pointer[catalog.Catalog]
	closers []func() error
	pixels  *blobs.Store
	runs    *durable.Queue
	service *service.Service
	worker  *dispatch.Worker
}

// newSite makes a site with its log.
func newSite(o siteOptions, env Env) *site {
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	return &site{siteOptions: o, env: env, log: slog.New(slog.NewJSONHandler(env.Stderr, &slog.HandlerOptions{Level: level}))}
}

// openStores opens the queue and the store.
func (s *site) openStores(ctx context.Context) (err error) {
	if s.data == "" && (s.store == "" || s.queue.URL == "") {
		if s.data, err = s.env.dataDir(); err != nil {
			return err
		}
	}
	if s.pixels, err = blobs.Open(ctx, cmp.Or(s.store, filepath.Join(s.data, "store"))); err != nil {
		return err
	}
	s.closing(s.pixels.Close)
	o := s.queue
	o.Dir, o.Log, o.Now = s.data, s.log, s.env.Now
	if s.runs, err = durable.Open(ctx, o); err != nil {
		return err
	}
	s.closing(func() error { s.runs.Close(); return nil })
	return nil
}

// openWorker opens what makes runs.
func (s *site) openWorker() {
	texts := &pictureTexts{env: s.env}
	s.closing(func() error { texts.stop(); return nil })
	s.service = service.New(service.Options{
		Open: func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
			return s.env.Open(ctx, cfg, pipeline.WithLogger(s.log))
		},
		Devices: s.env.Native.Devices, Classify: classify, Texts: s.hidden(texts), Limit: 1 << 20, MaxModels: s.models, Now: s.env.Now,
	})
	s.closing(func() error { s.service.Close(); return nil })
	s.worker = dispatch.New(dispatch.Options{Queue: s.runs, Store: s.pixels, Service: s.service, Catalog: s.catalog.Load, Name: workerName(),
		Models: s.models, Grace: s.grace, Version: Version(), Shared: s.queue.URL+s.queue.Listen != "", Log: s.log})
}

// hidden writes the texts of PNG files without the folders of this machine: clients get the files.
func (s *site) hidden(texts *pictureTexts) service.Texts {
	return func(ctx context.Context, m request.Model, plan *pipeline.Result, img pipeline.Image) ([]imagefile.Text, error) {
		list, err := texts.of(ctx, m, plan, img)
		for i := range list {
			list[i].Value = s.catalog.Load().Hide(list[i].Value)
		}
		return list, err
	}
}

func (s *site) closing(f func() error) { s.closers = append(s.closers, f) }

// close closes what was opened.
func (s *site) close() (err error) {
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	return err
}
