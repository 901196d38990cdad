package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/cli/internal/serve"
	"github.com/daguerre-go/daguerre/internal/blobs"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// faces are the APIs and pages that serve offers beside its own API.
var faces = []face.Face{}

// serveOptions is what the serve command is asked to do.
type serveOptions struct {
	addr, data, store, nats string
	catalog                 catalog.Options
	models                  int
	json, verbose           bool
}

func serveOptionsOf(c *cli.Context) (serveOptions, error) {
	o := serveOptions{addr: c.String("addr"), data: c.String("data"), store: c.String("store"), nats: c.String("nats"),
		models: c.Int("open-models"), json: c.Bool("json"), verbose: c.Bool("verbose"),
		catalog: catalog.Options{Models: c.StringSlice("model"), ModelDirs: c.StringSlice("model-dir"), LoRAs: c.StringSlice("lora-dir"),
			Nets: c.StringSlice("controlnet-dir"), Embeddings: c.StringSlice("embedding-dir"), VAEs: c.StringSlice("vae-dir"),
			Refiners: c.StringSlice("refiner-dir"), Upscalers: c.StringSlice("upscaler-dir")}}
	if len(o.catalog.Models)+len(o.catalog.ModelDirs) == 0 {
		o.catalog.Models = []string{pipeline.NanoModel}
	}
	if _, _, err := net.SplitHostPort(o.addr); err != nil {
		return o, usagef(c.Command.HelpName, "--addr %s: %v; write for example 127.0.0.1:7860", o.addr, err)
	}
	return o, inRange(c, "open-models", o.models, 1, 64)
}

// dataDir is the folder of the server's files where none is given.
func dataDir() (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "daguerre", "serve"), err
}

func (o serveOptions) execute(ctx context.Context, env Env) (err error) {
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(env.Stderr, &slog.HandlerOptions{Level: level}))
	cat, err := catalog.New(o.catalog)
	if err != nil {
		return err
	}
	if o.data == "" {
		if o.data, err = dataDir(); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		return usagef(name+" serve", "--addr: %v", err)
	}
	defer func() { _ = l.Close() }() // it may be closed already
	store, err := blobs.Open(ctx, cmp.Or(o.store, filepath.Join(o.data, "store")))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	q, err := durable.Open(ctx, durable.Options{Dir: o.data, URL: o.nats, Log: log, Now: env.Now})
	if err != nil {
		return err
	}
	defer q.Close()
	texts := &pictureTexts{env: env}
	defer texts.stop()
	made := service.New(service.Options{
		Open: func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
			return env.Open(ctx, cfg, pipeline.WithLogger(log))
		},
		Devices: env.Native.Devices, Classify: classify, Texts: texts.of, Limit: 1 << 20, MaxModels: o.models, Now: env.Now,
	})
	defer made.Close()
	current := func() *catalog.Catalog { return cat }
	worker := dispatch.New(dispatch.Options{Queue: q, Store: store, Service: made, Catalog: current, Name: workerName(), Models: o.models,
		Log: log})
	s := studio.New(studio.Options{Queue: q, Store: store, Service: made, Catalog: current, Check: checkJobs, Plan: env.Plan, Log: log,
		Now: env.Now})
	server := serve.New(serve.Options{Studio: s, Faces: faces, Version: Version(), Log: log})
	working, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		worker.Run(working)
	}()
	o.announce(env, l.Addr())
	err = server.Serve(ctx, l)
	stop()
	<-worked
	made.Stop()
	return err
}

// announce prints where the server listens.
func (o serveOptions) announce(env Env, a net.Addr) {
	if o.json {
		_ = json.NewEncoder(exact(env.Stdout)).Encode(map[string]any{"event": "ready", "url": "http://" + a.String(), "pid": os.Getpid(),
			"time": env.Now().UTC().Format(time.RFC3339)})
		return
	}
	_, _ = fmt.Fprintf(env.Stdout, "ready: http://%s\n", a) // nowhere is left to complain to
}

// workerName is a name that no other worker has.
func workerName() string {
	host, _ := os.Hostname() // a name without one is as good
	return strings.ToLower(host) + "." + durable.NewID()
}
