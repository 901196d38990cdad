package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/durable"
)

// workOptions is what the work command is asked to do.
type workOptions struct {
	siteOptions
	json bool
}

func workOptionsOf(c *cli.Context) (workOptions, error) {
	common, err := siteOptionsOf(c)
	common.queue.Access = durable.Joins
	o := workOptions{siteOptions: common, json: c.Bool("json")}
	return o, cmp.Or(err, o.check(c.Command.HelpName))
}

func (o workOptions) check(path string) error {
	switch {
	case o.queue.URL == "":
		return usagef(path, "--nats is missing: the URL of the servers that keep the queue, such as nats://queue:4222 (docs/fleet.md)")
	case o.store == "":
		return usagef(path, "--store is missing: the folder or bucket of the pictures, the same one that daguerre serve has (docs/fleet.md)")
	}
	return nil
}

func (o workOptions) execute(ctx context.Context, env Env) error {
	s := newSite(o.siteOptions, env)
	err := s.load()
	if err == nil {
		err = s.openStores(ctx)
	}
	if err == nil {
		s.openWorker()
		err = o.run(ctx, s)
	}
	return errors.Join(err, s.close())
}

// load reads which models and other files there are, at the start and at SIGHUP.
func (s *site) load() error {
	c, err := catalog.New(s.offered())
	if err == nil {
		s.catalog.Store(c)
	}
	return err
}

// run works until ctx ends, and then drains.
func (o workOptions) run(ctx context.Context, s *site) error {
	var hangups <-chan struct{}
	if s.env.Hangups != nil {
		hangups = s.env.Hangups()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.worker.Run(ctx)
	}()
	if err := o.announce(s); err != nil {
		return err
	}
	for {
		select {
		case <-hangups:
			if err := s.load(); err != nil {
				s.log.Error("nothing is changed: what SIGHUP asks to read again is wrong", "error", err)
			}
		case <-done:
			s.service.Stop()
			return nil
		}
	}
}

// announce prints that the worker works.
func (o workOptions) announce(s *site) error {
	s.log.Info("ready", "worker", s.worker.Name(), "queue", durable.Servers(o.queue.URL), "store", o.store)
	if o.json {
		return json.NewEncoder(exact(s.env.Stdout)).Encode(map[string]any{"event": "ready", "worker": s.worker.Name(), "pid": os.Getpid(),
			"version": Version(), "time": s.env.Now().UTC().Format(time.RFC3339)})
	}
	_, err := fmt.Fprintf(s.env.Stdout, "ready: %s\n", s.worker.Name())
	return err
}
