package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/words"
)

// workOptions is what the work command is asked to do.
type workOptions struct {
	siteOptions
	json bool
}

func workOptionsOf(c *cli.Context) (workOptions, error) {
	common, err := siteOptionsOf(c)
	common.queue.Access = durable.Joins
	common.pull = c.StringSlice("pull")
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
	for _, said := range o.pull {
		if err := checkPull(said); err != nil {
			return usagef(path, "--pull %s: %v", words.Clip(said), err)
		}
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

// load reads which models and other files there are, at the start, at SIGHUP, and when a model was fetched.
func (s *site) load() error {
	c, err := catalog.New(s.fetchable(s.offered()))
	if err == nil {
		s.catalog.Store(c)
	}
	if err == nil && s.worker != nil {
		s.worker.Relist()
	}
	return err
}

// run works until ctx ends, and then drains.
func (o workOptions) run(ctx context.Context, s *site) error {
	var hangups <-chan struct{}
	if s.env.Hangups != nil {
		hangups = s.env.Hangups()
	}
	done, fetched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.worker.Run(ctx)
	}()
	if err := o.announce(s); err != nil {
		return err
	}
	if len(s.pull) > 0 {
		var pulls sync.WaitGroup
		defer pulls.Wait()
		pulls.Go(func() { s.pullWanted(ctx, fetched) })
	}
	for {
		select {
		case <-hangups:
			if err := s.load(); err != nil {
				s.log.Error("nothing is changed: what SIGHUP asks to read again is wrong", "error", err)
			}
		case <-fetched:
			if err := s.load(); err != nil {
				s.log.Error("a model was fetched, but cannot be offered", "error", err)
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
