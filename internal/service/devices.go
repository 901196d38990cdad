package service

import (
	"context"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Open opens a model.
type Open = func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error)

// PlanOf is the configuration that a plan of a model's memory is made for. Where it names several devices, the plan is that of the first;
// each of the others needs the same.
func PlanOf(m request.Model) pipeline.Config {
	m.Device, _, _ = strings.Cut(m.Device, ",")
	return pipeline.ConfigOf(m)
}

// Pipes are one model, opened on each of its devices. There is at least one.
type Pipes []*pipeline.Pipeline

// OpenEach opens a model on each device that it names.
func OpenEach(ctx context.Context, open Open, m request.Model) (Pipes, error) {
	var pipes Pipes
	for _, device := range strings.Split(m.Device, ",") {
		cfg := pipeline.ConfigOf(m)
		cfg.Device = device
		p, err := open(ctx, cfg)
		if err != nil {
			_ = pipes.Close() // the error that counts is there
			return nil, err
		}
		pipes = append(pipes, p)
	}
	return pipes, nil
}

// Devices names the devices of the UNets, as a run file does.
func (p Pipes) Devices() string {
	var names []string
	for _, pipe := range p {
		for _, c := range pipe.Info().Components {
			if c.Name == "unet" {
				names = append(names, c.Device)
			}
		}
	}
	return strings.Join(names, ",")
}

// Close closes all and returns the first error. It may be called twice.
func (p Pipes) Close() (err error) {
	for _, pipe := range p {
		if e := pipe.Close(); err == nil {
			err = e
		}
	}
	return err
}

// turns are held by the model that computes on a device, so that several do not slow each other.
type turns struct {
	mu sync.Mutex
	by map[string]*sync.Mutex
}

func (t *turns) of(device string) sync.Locker {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]*sync.Mutex{}
	}
	if t.by[device] == nil {
		t.by[device] = &sync.Mutex{}
	}
	return t.by[device]
}
