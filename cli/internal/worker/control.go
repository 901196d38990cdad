package worker

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// answer is what a control message asks for.
type answer = func(ctx context.Context) (any, error)

func failing(err error) answer { return func(context.Context) (any, error) { return nil, err } }

// answers are what answers each type of control message: whether the next line waits for it, and whether it takes no request.
var answers = map[string]struct {
	f             func(s *Server, ctx context.Context, m *message) (any, error)
	wait, nothing bool
}{
	typeHello:    {f: (*Server).greet, wait: true},
	typeCancel:   {f: (*Server).cancel, wait: true},
	typeStatus:   {f: (*Server).status, wait: true, nothing: true},
	typeShutdown: {f: (*Server).shutdown, wait: true},
	typeMemory:   {f: func(s *Server, ctx context.Context, _ *message) (any, error) { return s.Memory(ctx) }, nothing: true},
	typeDevices: {f: func(s *Server, ctx context.Context, _ *message) (any, error) {
		devices, err := s.Devices(ctx)
		return map[string]any{"devices": devices}, err
	}, nothing: true},
}

// casingOf reads the request of a hello.
func casingOf(body map[string]any) (request.Casing, error) {
	var casing string
	if err := fields(body, map[string]any{"casing": &casing}); err != nil || casing == "" {
		return "", err
	}
	for _, c := range request.Casings {
		if strings.EqualFold(string(c), casing) {
			return c, nil
		}
	}
	return "", request.Errors{{Path: "casing", Message: "is unknown; expected snake_case, camelCase or PascalCase"}}
}

// greet answers hello, which also sets the casing of answers whose questions do not show one.
func (s *Server) greet(_ context.Context, m *message) (any, error) {
	casing, err := casingOf(m.body)
	if err != nil {
		return nil, err
	}
	if casing != "" {
		s.mu.Lock()
		s.casing = casing
		s.mu.Unlock()
		m.casing = casing
	}
	s.hello(m.id, m.casing)
	return nil, nil
}

// cancel gives up a request, or one of its pictures.
func (s *Server) cancel(_ context.Context, m *message) (any, error) {
	var target json.RawMessage
	var job, index *int
	var all *bool
	if err := fields(m.body, map[string]any{"target": &target, "job": &job, "index": &index, "all": &all}); err != nil {
		return nil, err
	}
	n := 1
	switch {
	case all != nil && *all:
		n = s.CancelAll()
	case target == nil:
		return nil, request.Errors{{Path: "target", Message: "is missing; give the id of the request to cancel, or all: true"}}
	default:
		if err := s.Cancel(string(target), string(m.id), job, index); err != nil {
			return nil, err
		}
	}
	return map[string]int{"cancelled": n}, nil
}

// statusInfo is what status tells.
type statusInfo struct {
	Seconds  float64             `json:"seconds"` // since the worker began
	Requests []requestInfo       `json:"requests"`
	Models   []service.ModelInfo `json:"models"`
	Served   service.Served      `json:"served"`
	Restarts int                 `json:"restarts"` // with --supervise: how often the process died

	// Unanswered is for how long the process has not answered. It is set under --supervise while the supervisor answers in its place.
	Unanswered float64 `json:"unanswered_seconds,omitempty"`
}

type requestInfo struct {
	ID json.RawMessage `json:"id"`
	service.OrderInfo
}

func (s *Server) status(_ context.Context, m *message) (any, error) {
	info := statusInfo{Requests: []requestInfo{}, Restarts: s.opts.Restarts}
	var orders []service.OrderInfo
	info.Seconds, orders, info.Models, info.Served = s.Status(string(m.id))
	for _, o := range orders {
		info.Requests = append(info.Requests, requestInfo{json.RawMessage(o.ID), o})
	}
	return info, nil
}

// lora changes an adapter of an unfinished request, or lists adapters.
func (s *Server) lora(m *message, ask service.Ask) error {
	target, change, err := readChange(m.body)
	if err == nil && target == nil && (change.Name != "" || change.Weight != nil) {
		err = request.Errors{{Path: "target", Message: "is missing; give the id of the request whose adapter is to change"}}
	}
	switch {
	case err != nil:
		return s.Do(ask, true, failing(err))
	case target == nil:
		return s.Do(ask, false, func(context.Context) (any, error) { return s.ListAdapters() })
	}
	return s.Adapt(ask, string(target), change)
}

// controlNet makes a control map of a picture, or lists preprocessors and nets.
func (s *Server) controlNet(m *message, ask service.Ask) error {
	var input, name, resize string
	var width, height *int
	var options map[string]any
	err := fields(m.body, map[string]any{"image": &input, "preprocessor": &name, "resizemode": &resize, "width": &width, "height": &height,
		"preprocessoroptions": &options})
	switch {
	case err != nil:
		return s.Do(ask, true, failing(err))
	case input == "":
		return s.Do(ask, false, func(context.Context) (any, error) { return s.ListControls() })
	}
	run, err := request.Decode(map[string]any{"controlnet": []any{map[string]any{"model": "none", "image": input, "preprocessor": name,
		"preprocessor_options": options}}})
	if err != nil {
		return s.Do(ask, true, failing(err))
	}
	m.raw, m.body = nil, nil // as of a generate: m stays until the end
	unit := run.Jobs[0].ControlNets[0]
	unit.Preprocessor, unit.ResizeMode = name, resize
	return s.Compute(ask, func(_ context.Context, warn func(text string)) (any, error) {
		return service.ControlMap(unit, width, height, warn)
	})
}

// modeOf reads the request of a shutdown: whether what is unfinished is given up.
func modeOf(body map[string]any) (cancel bool, err error) {
	mode := "drain"
	if err := fields(body, map[string]any{"mode": &mode}); err != nil {
		return false, err
	}
	if mode != "drain" && mode != "cancel" {
		return false, request.Errors{{Path: "mode", Message: "is unknown; expected drain or cancel"}}
	}
	return mode == "cancel", nil
}

// shutdown ends the worker as the end of the input does; with mode cancel what is unfinished is given up.
func (s *Server) shutdown(_ context.Context, m *message) (any, error) {
	cancel, err := modeOf(m.body)
	if err != nil {
		return nil, err
	}
	s.Stop()
	if cancel {
		s.CancelAll()
	}
	return nil, nil
}
