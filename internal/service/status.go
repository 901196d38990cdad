package service

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// ModelInfo tells of a model.
type ModelInfo struct {
	Name       string                  `json:"name"`
	Model      string                  `json:"model"`
	Loaded     bool                    `json:"loaded"`
	Kind       backend.Kind            `json:"kind,omitempty"`
	Device     string                  `json:"device,omitempty"` // several: with commas between
	Precision  backend.Precision       `json:"precision,omitempty"`
	Reason     string                  `json:"precision_reason,omitempty"`
	Bytes      int64                   `json:"parameter_bytes"`
	Components []backend.ComponentInfo `json:"components,omitempty"`
	Requests   int                     `json:"requests"` // unfinished
	Opening    time.Duration           `json:"-"`        // that it took

	// Memory is what the native library holds for the model itself, then for TAESD, the refiner and ControlNets as far as they are open;
	// Memory alone tells it.
	Memory []backend.MemoryStats `json:"memory,omitempty"`
}

// open is the model; nil: it is not open.
func (e *entry) open() Pipes {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pipes
}

// opening is how long opening the model took.
func (e *entry) opening() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.took
}

// info describes the model; it does not wait for its loading.
func (e *entry) info() ModelInfo {
	n, _ := e.use()
	info := ModelInfo{Name: e.name, Model: pipeline.ModelName(e.model.Model), Requests: n}
	pipes := e.open()
	if pipes == nil {
		return info
	}
	m := pipes[0].Info()
	info.Loaded, info.Kind, info.Precision, info.Reason, info.Components = true, m.Kind, m.Precision, m.PrecisionReason, m.Components
	for _, c := range m.Components {
		if c.Loaded {
			info.Bytes += c.ParameterBytes * int64(len(pipes))
		}
	}
	info.Device, info.Opening = pipes.Devices(), e.opening()
	return info
}

// OrderInfo tells of an order that has not ended.
type OrderInfo struct {
	ID       string  `json:"-"`
	Type     string  `json:"type"`
	State    State   `json:"state"`
	Priority int     `json:"priority"`
	Images   int     `json:"images"` // finished
	Total    int     `json:"total"`  // pictures; 0 while that is unknown
	Failed   int     `json:"failed"`
	Seconds  float64 `json:"seconds"` // since it was accepted
}

// Status tells how the Service is: its orders but the one with the id except, and its models.
func (s *Service) Status(except string) (seconds float64, orders []OrderInfo, models []ModelInfo, served Served) {
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	orders, models = []OrderInfo{}, []ModelInfo{}
	for id, o := range s.orders {
		if id != except {
			orders = append(orders, o.info(now.Sub(o.began).Seconds()))
		}
	}
	for _, e := range s.models {
		m := e.info()
		m.Components = nil
		models = append(models, m)
	}
	return now.Sub(s.began).Seconds(), orders, models, s.served
}

func (o *order) info(seconds float64) OrderInfo {
	o.mu.Lock()
	defer o.mu.Unlock()
	info := OrderInfo{ID: o.ID, Type: o.Type, State: o.state, Seconds: seconds}
	if o.run != nil {
		made := o.run.Result()
		info.Priority, info.Images, info.Failed = o.run.Priority, made.Images, made.Failed
		if o.begun {
			info.Total = o.run.Pictures()
		}
	}
	return info
}

// MemoryInfo tells what is in memory, in bytes.
type MemoryInfo struct {
	RSS     int64            `json:"rss"`      // of this process; 0: unknown
	PeakRSS int64            `json:"peak_rss"` //
	GoHeap  int64            `json:"go_heap"`
	Devices []backend.Device `json:"devices"`
	Models  []ModelInfo      `json:"models"`
}

// Memory tells what is in memory; it does not wait for what is being computed.
func (s *Service) Memory(ctx context.Context) (MemoryInfo, error) {
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	info := MemoryInfo{GoHeap: int64(heap.HeapAlloc), Devices: []backend.Device{}, Models: []ModelInfo{}}
	info.RSS, info.PeakRSS = machine.RSS(), machine.PeakRSS()
	if s.opts.Devices != nil {
		devices, err := s.opts.Devices(ctx)
		if err != nil {
			return info, err
		}
		info.Devices = append(info.Devices, devices...)
	}
	s.mu.Lock()
	models := slices.Clone(s.models)
	s.mu.Unlock()
	for _, e := range models {
		m := e.info()
		for _, pipe := range e.open() {
			m.Memory = append(m.Memory, pipe.MemoryStats()...)
		}
		info.Models = append(info.Models, m)
	}
	return info, nil
}

// Devices lists what can be computed on.
func (s *Service) Devices(ctx context.Context) ([]backend.Device, error) {
	if s.opts.Devices == nil {
		return nil, Errorf(CodeNative, "this worker knows no devices")
	}
	devices, err := s.opts.Devices(ctx)
	return append([]backend.Device{}, devices...), err
}

// currentModel is the model used last.
func (s *Service) currentModel() (request.Model, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return request.Model{}, Errorf(CodeNotFound, "no model is loaded")
	}
	return s.current.model, nil
}
