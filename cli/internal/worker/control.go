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

// answers returns what answers a control message, and whether the next line waits for it.
func (s *Server) answers(m *message) (f answer, wait bool) {
	nothing := func(f answer) answer {
		return func(ctx context.Context) (any, error) {
			if err := fields(m.body, nil); err != nil {
				return nil, err
			}
			return f(ctx)
		}
	}
	switch m.kind {
	case typeHello:
		return func(context.Context) (any, error) { return nil, s.greet(m) }, true
	case typeCancel:
		return func(context.Context) (any, error) { return s.cancel(m) }, true
	case typeStatus:
		return nothing(func(context.Context) (any, error) { return s.status(m), nil }), true
	case typeShutdown:
		return func(context.Context) (any, error) { return nil, s.shutdown(m) }, true
	case typeMemory:
		return nothing(func(ctx context.Context) (any, error) { return s.Memory(ctx) }), false
	case typeDevices:
		return nothing(func(ctx context.Context) (any, error) {
			devices, err := s.Devices(ctx)
			return map[string]any{"devices": devices}, err
		}), false
	}
	return func(context.Context) (any, error) { return s.controlNet(m) }, false
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
func (s *Server) greet(m *message) error {
	casing, err := casingOf(m.body)
	if err != nil {
		return err
	}
	if casing != "" {
		s.mu.Lock()
		s.casing = casing
		s.mu.Unlock()
		m.casing = casing
	}
	s.hello(m.id, m.casing)
	return nil
}

// cancel gives up a request, or one of its pictures.
func (s *Server) cancel(m *message) (any, error) {
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
}

type requestInfo struct {
	ID json.RawMessage `json:"id"`
	service.OrderInfo
}

func (s *Server) status(m *message) statusInfo {
	info := statusInfo{Requests: []requestInfo{}, Restarts: s.opts.Restarts}
	var orders []service.OrderInfo
	info.Seconds, orders, info.Models, info.Served = s.Status(string(m.id))
	for _, o := range orders {
		info.Requests = append(info.Requests, requestInfo{json.RawMessage(o.ID), o})
	}
	return info
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
func (s *Server) controlNet(m *message) (any, error) {
	var input, name, resize string
	var width, height *int
	var options map[string]any
	if err := fields(m.body, map[string]any{"image": &input, "preprocessor": &name, "resizemode": &resize, "width": &width, "height": &height,
		"preprocessoroptions": &options}); err != nil {
		return nil, err
	}
	if input == "" {
		return s.ListControls()
	}
	run, err := request.Decode(map[string]any{"controlnet": []any{map[string]any{"model": "none", "image": input, "preprocessor": name,
		"preprocessor_options": options}}})
	if err != nil {
		return nil, err
	}
	unit := run.Jobs[0].ControlNets[0]
	unit.Preprocessor, unit.ResizeMode = name, resize
	return service.ControlMap(unit, width, height)
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
func (s *Server) shutdown(m *message) error {
	cancel, err := modeOf(m.body)
	if err != nil {
		return err
	}
	s.Stop()
	if cancel {
		s.CancelAll()
	}
	return nil
}
