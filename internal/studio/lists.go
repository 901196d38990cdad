package studio

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/phrases"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Model is a model that callers may name.
type Model struct {
	Name     string          `json:"name"`
	Loaded   bool            `json:"loaded" doc:"by this server or a worker"`
	Kind     backend.Kind    `json:"kind,omitempty" doc:"base, inpainting or refiner, once it was loaded"`
	Device   string          `json:"device,omitempty" doc:"that it computes on, once it was loaded"`
	Defaults request.Request `json:"-"` // what its jobs have where a run says nothing
}

// Models lists the models; a run that names none uses the first.
func (s *Studio) Models() (list []Model) {
	_, _, open, _ := s.o.Service.Status("")
	elsewhere := map[string]bool{}
	for _, w := range s.o.Queue.Workers() {
		for _, name := range w.Loaded {
			elsewhere[name] = true
		}
	}
	for _, m := range s.o.Catalog().Models() {
		x := Model{Name: m.Name, Defaults: m.Defaults.Job, Loaded: elsewhere[m.Name]}
		for _, o := range open {
			if o.Loaded && o.Model == pipeline.ModelName(m.Defaults.Model.Model) {
				x.Loaded, x.Kind, x.Device = true, o.Kind, o.Device
			}
		}
		list = append(list, x)
	}
	return list
}

// Files lists the names of the adapters, ControlNets, VAEs ... that callers may use.
func (s *Studio) Files(kind catalog.Kind) ([]string, error) {
	names, err := s.o.Catalog().List(kind)
	if names == nil {
		names = []string{}
	}
	return names, err
}

// Styles lists the styles that the runs of a model may name; no name is the first model.
func (s *Studio) Styles(model string) ([]phrases.Style, error) {
	c := s.o.Catalog()
	m, ok := c.Find(model)
	if !ok {
		return nil, noModel(model)
	}
	return c.Styles(m)
}

// noModel is the problem of a name that no model has.
func noModel(name string) error {
	return &Problem{Kind: NotFound, Code: "not_found", Message: fmt.Sprintf("there is no model %q here", words.Clip(name))}
}

// Devices lists what the server can compute on.
func (s *Studio) Devices(ctx context.Context) ([]backend.Device, error) {
	return s.o.Service.Devices(ctx)
}

// Memory tells what is in the memory of the server.
func (s *Studio) Memory(ctx context.Context) (service.MemoryInfo, error) {
	return s.o.Service.Memory(ctx)
}

// Plan tells how much memory a run would need.
func (s *Studio) Plan(ctx context.Context, _ Caller, body []byte) (p pipeline.MemoryPlan, err error) {
	run, _, _, err := s.o.Catalog().Decode(body)
	if err == nil {
		err = s.o.Catalog().Resolve(&run, func(string) ([]byte, error) { return nil, fmt.Errorf("a plan reads no uploads") })
	}
	if err != nil {
		return p, s.invalid(err)
	}
	p, err = s.o.Plan(ctx, service.PlanOf(run.Model), run.Jobs)
	for i, w := range p.Warnings {
		p.Warnings[i] = s.o.Catalog().Hide(w)
	}
	return p, s.invalid(err)
}

// ControlMap makes the map that a ControlNet is given of a picture, as a PNG file.
func (s *Studio) ControlMap(ctx context.Context, unit request.ControlNet, width, height *int) (p service.Picture, warnings []string,
	err error) {
	done := make(chan error, 1)
	err = s.o.Service.Compute(service.Ask{ID: "map." + durable.NewID(), Type: "controlnet", Tell: func(e service.Event) {
		switch e := e.(type) {
		case service.Warning:
			warnings = append(warnings, s.o.Catalog().Hide(e.Message))
		case service.Ended:
			p, _ = e.Result.(service.Picture)
			done <- e.Err
		}
	}}, func(_ context.Context, warn func(string)) (any, error) {
		return service.ControlMap(unit, width, height, warn)
	})
	if err == nil {
		select {
		case err = <-done:
		case <-ctx.Done():
			return service.Picture{}, nil, ctx.Err()
		}
	}
	if err != nil {
		e := s.o.Service.Explain(err)
		if e.Code == service.CodeInvalid || e.Code == service.CodeBadFile {
			err = s.invalid(&Problem{Kind: Invalid, Code: string(e.Code), Message: e.Message, Fields: e.Fields})
		}
	}
	return p, warnings, err
}

// Preprocessors lists the preprocessors of ControlNet pictures.
func (s *Studio) Preprocessors() ([]service.Preprocessor, error) {
	c, err := s.o.Service.ListControls()
	return c.Preprocessors, err
}

// FindModel finds a model by its name.
func (s *Studio) FindModel(name string) (Model, error) {
	for _, m := range s.Models() {
		if m.Name == name {
			return m, nil
		}
	}
	return Model{}, noModel(name)
}
