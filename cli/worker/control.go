package worker

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/adapters"
	pictures "github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/queue"
	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// control answers what needs no model's turn. What may take a moment is done beside the reading of lines.
func (s *Server) control(o *order) {
	if o.msg.kind == typeLoRA {
		s.lora(o)
		return
	}
	answer := map[string]func(*order) (any, error){
		typeHello: s.greet, typeCancel: s.cancel, typeStatus: s.status, typeMemory: s.memory, typeDevices: s.devices,
		typeControlNet: s.controlNet, typeShutdown: s.shutdown,
	}[o.msg.kind]
	run := func() {
		result, err := answer(o)
		o.end(err, result)
	}
	switch o.msg.kind {
	case typeDevices, typeMemory, typeControlNet:
		s.active.Go(run)
	default:
		run()
	}
}

// fields reads the request of a control message: each key into what it belongs to, all mistakes at once.
func fields(body map[string]any, into map[string]any) error {
	var errs request.Errors
	for key, value := range body {
		dst, known := into[words.FoldKey(key, "_")]
		if !known {
			errs.Add(key, "unknown key")
			continue
		}
		if value == nil {
			continue
		}
		ok, want := true, ""
		switch dst := dst.(type) {
		case *string:
			*dst, ok = value.(string)
			want = "a string"
		case *json.RawMessage:
			*dst, ok = idOf(value)
			want = "a string or a number"
		case **int:
			n, isInt := integer(value)
			v := int(n)
			*dst, ok, want = &v, isInt && n == int64(v), "an integer"
		case **float64:
			x, isNumber := float(value)
			*dst, ok, want = &x, isNumber, "a number"
		case **bool:
			b, isBool := value.(bool)
			*dst, ok, want = &b, isBool, "a boolean"
		case *map[string]any:
			*dst, ok = value.(map[string]any)
			want = "an object"
		}
		if !ok {
			errs.Add(key, "expected %s", want)
		}
	}
	return errs.Err()
}

// greet answers hello, which also sets the casing of answers whose questions do not show one.
func (s *Server) greet(o *order) (any, error) {
	var casing string
	if err := fields(o.msg.body, map[string]any{"casing": &casing}); err != nil {
		return nil, err
	}
	for _, c := range request.Casings {
		if strings.EqualFold(string(c), casing) {
			s.mu.Lock()
			s.casing = c
			s.mu.Unlock()
			o.msg.casing, casing = c, ""
		}
	}
	if casing != "" {
		return nil, request.Errors{{Path: "casing", Message: "is unknown; expected snake_case, camelCase or PascalCase"}}
	}
	s.hello(o.msg.id, o.msg.casing)
	return nil, nil
}

// cancel gives up a request, or one of its pictures.
func (s *Server) cancel(o *order) (any, error) {
	var target json.RawMessage
	var job, index *int
	var all *bool
	if err := fields(o.msg.body, map[string]any{"target": &target, "job": &job, "index": &index, "all": &all}); err != nil {
		return nil, err
	}
	if all != nil && *all {
		s.mu.Lock()
		var others []*order
		for _, other := range s.orders {
			if other != o && other.isWork() {
				others = append(others, other)
			}
		}
		s.mu.Unlock()
		for _, other := range others {
			other.cancelWith(queue.ErrCancelled)
		}
		return map[string]int{"cancelled": len(others)}, nil
	}
	if target == nil {
		return nil, request.Errors{{Path: "target", Message: "is missing; give the id of the request to cancel, or all: true"}}
	}
	other, ok := s.order(target)
	if !ok || other == o {
		return nil, failf(codeNotFound, "no request with the id %s is unfinished", target)
	}
	if index == nil {
		other.cancelWith(queue.ErrCancelled)
		return map[string]int{"cancelled": 1}, nil
	}
	if err := other.cancelPicture(job, *index); err != nil {
		return nil, err
	}
	return map[string]int{"cancelled": 1}, nil
}

// cancelPicture gives up one picture; nil is the first job.
func (o *order) cancelPicture(job *int, index int) error {
	n := indexOf(job)
	if n < 0 || n >= len(o.run.Jobs) || index < 0 || index >= max(o.run.Jobs[n].NumImages, 1) {
		return failf(codeNotFound, "this request has no picture %d of a job %d", index, n)
	}
	o.mu.Lock()
	if !o.submitted { // its model is being loaded, or its inputs read
		o.unwanted = append(o.unwanted, [2]int{n, index})
		o.mu.Unlock()
		return nil
	}
	o.mu.Unlock()
	p, err := o.part(job)
	if err != nil {
		return err
	}
	if !p.job.CancelTask(index) {
		return failf(codeNotFound, "picture %d of this request is not unfinished", index)
	}
	return nil
}

// part finds a job of an order that is queued or running; nil is the first.
func (o *order) part(job *int) (*part, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return partOf(o.parts, job)
}

// partOf finds a job; nil is the first.
func partOf(parts []*part, job *int) (*part, error) {
	n := indexOf(job)
	for _, p := range parts {
		if p.index == n {
			return p, nil
		}
	}
	return nil, failf(codeNotRunning, "job %d of this request is not in the queue", n)
}

// statusInfo is what status tells.
type statusInfo struct {
	Seconds  float64       `json:"seconds"` // since the worker began
	Requests []requestInfo `json:"requests"`
	Models   []modelInfo   `json:"models"`
	Served   counts        `json:"served"`
	Restarts int           `json:"restarts"` // with --supervise: how often the process died
}

// requestInfo tells of an unfinished request.
type requestInfo struct {
	ID       json.RawMessage `json:"id"`
	Type     string          `json:"type"`
	State    string          `json:"state"` // "queued" or "running"
	Priority int             `json:"priority"`
	Images   int             `json:"images"` // finished
	Total    int             `json:"total"`  // pictures; 0 while that is unknown
	Failed   int             `json:"failed"`
	Seconds  float64         `json:"seconds"` // since it was accepted
}

func (s *Server) status(o *order) (any, error) {
	if err := fields(o.msg.body, nil); err != nil {
		return nil, err
	}
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	info := statusInfo{Seconds: now.Sub(s.began).Seconds(), Requests: []requestInfo{}, Models: []modelInfo{}, Served: s.served, Restarts: s.opts.Restarts}
	for _, other := range s.orders {
		if other == o {
			continue
		}
		other.mu.Lock()
		r := requestInfo{ID: other.msg.id, Type: other.msg.kind, State: "queued", Priority: other.msg.priority, Images: other.images,
			Failed: other.failed, Seconds: now.Sub(other.began).Seconds()}
		if other.started {
			r.State = "running"
		}
		for _, p := range other.parts {
			r.Total += p.req.NumImages
		}
		other.mu.Unlock()
		info.Requests = append(info.Requests, r)
	}
	for _, e := range s.models {
		m := e.info()
		m.Components = nil
		info.Models = append(info.Models, m)
	}
	return info, nil
}

// memoryInfo is what memory tells, in bytes.
type memoryInfo struct {
	RSS     int64            `json:"rss"`      // of this process; 0: unknown
	PeakRSS int64            `json:"peak_rss"` //
	GoHeap  int64            `json:"go_heap"`
	Devices []backend.Device `json:"devices"`
	Models  []modelInfo      `json:"models"`
}

func (s *Server) memory(o *order) (any, error) {
	if err := fields(o.msg.body, nil); err != nil {
		return nil, err
	}
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	info := memoryInfo{GoHeap: int64(heap.HeapAlloc), Devices: []backend.Device{}, Models: []modelInfo{}}
	info.RSS, info.PeakRSS = machine.RSS(), machine.PeakRSS()
	if s.opts.Devices != nil {
		devices, err := s.opts.Devices(o.ctx)
		if err != nil {
			return nil, err
		}
		info.Devices = append(info.Devices, devices...)
	}
	s.mu.Lock()
	models := slices.Clone(s.models)
	s.mu.Unlock()
	for _, e := range models {
		info.Models = append(info.Models, e.memory())
	}
	return info, nil
}

func (s *Server) devices(o *order) (any, error) {
	if err := fields(o.msg.body, nil); err != nil {
		return nil, err
	}
	if s.opts.Devices == nil {
		return nil, failf(codeNative, "this worker knows no devices")
	}
	devices, err := s.opts.Devices(o.ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{"devices": append([]backend.Device{}, devices...)}, nil
}

// loraRequest is the request of a lora.
type loraRequest struct {
	Target  json.RawMessage `json:"-"`
	Name    string          `json:"name"`
	Job     *int            `json:"job"`
	Weight  *float64        `json:"weight"`
	UNet    *float64        `json:"unet_weight"`
	Text    *float64        `json:"text_encoder_weight"`
	Enabled *bool           `json:"enabled"`
}

func readLoRA(body map[string]any) (r loraRequest, err error) {
	err = fields(body, map[string]any{"target": &r.Target, "name": &r.Name, "job": &r.Job, "weight": &r.Weight, "unetweight": &r.UNet,
		"textencoderweight": &r.Text, "enabled": &r.Enabled})
	return r, err
}

// same reports whether two requests change the same adapter.
func (r loraRequest) same(other loraRequest) bool {
	return strings.EqualFold(r.Name, other.Name) && indexOf(r.Job) == indexOf(other.Job)
}

// indexOf is a job's place in its request; nil is the first.
func indexOf(job *int) int {
	if job == nil {
		return 0
	}
	return *job
}

// then is what r and a later change of the same adapter do together.
func (r loraRequest) then(next loraRequest) loraRequest {
	if next.Weight != nil {
		r.Weight, r.UNet, r.Text = next.Weight, nil, nil
	}
	r.UNet, r.Text, r.Enabled = cmp.Or(next.UNet, r.UNet), cmp.Or(next.Text, r.Text), cmp.Or(next.Enabled, r.Enabled)
	return r
}

// lora changes an adapter of an unfinished request, or lists adapters. Changes are made in the order of their lines.
func (s *Server) lora(o *order) {
	r, err := readLoRA(o.msg.body)
	if err != nil {
		o.end(err, nil)
		return
	}
	if r.Target == nil {
		if r.Name != "" || r.Weight != nil {
			o.end(request.Errors{{Path: "target", Message: "is missing; give the id of the request whose adapter is to change"}}, nil)
			return
		}
		s.active.Go(func() { result, err := s.listLoRAs(); o.end(err, result) })
		return
	}
	other, ok := s.order(r.Target)
	if !ok || other.msg.kind != typeGenerate && other.msg.kind != typeBatch {
		o.end(failf(codeNotFound, "no request for pictures with the id %s is unfinished", r.Target), nil)
		return
	}
	other.whenPrepared(func() {
		if o.ctx.Err() != nil { // given up meanwhile
			return
		}
		adapters, err := other.adapt(r)
		o.end(err, adapters)
	})
}

// adapt changes an adapter of the order, where one is named, and lists them.
func (o *order) adapt(r loraRequest) (any, error) {
	o.mu.Lock()
	p, err := partOf(o.prepared, r.Job)
	o.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if r.Name != "" {
		if err := p.change(r.Name, r.apply); err != nil {
			return nil, err
		}
	}
	return p.stack(), nil
}

// repeat makes changes that were made in a process that died before it began with the order.
func (o *order) repeat(changes []any) {
	for _, c := range changes {
		body, _ := c.(map[string]any)
		if r, err := readLoRA(body); err == nil {
			o.whenPrepared(func() { _, _ = o.adapt(r) }) // it was answered then
		}
	}
}

// apply makes the change to an adapter.
func (r loraRequest) apply(a *lora.Adapter) {
	if r.Weight != nil {
		a.Weight, a.UNetWeight, a.TextEncoderWeight = r.Weight, nil, nil
	}
	if r.UNet != nil {
		a.UNetWeight = r.UNet
	}
	if r.Text != nil {
		a.TextEncoderWeight = r.Text
	}
	if r.Enabled != nil {
		a.Enabled = r.Enabled
	}
}

// change changes an adapter of the part: in the batch that runs from its next step on, and in all later ones.
func (p *part) change(name string, apply func(*lora.Adapter)) error {
	switch err := p.loras.Update(name, apply); {
	case errors.Is(err, pipeline.ErrNotRunning):
		return failf(codeNotRunning, "the job has no adapters that could be changed, or has ended")
	case errors.Is(err, lora.ErrNotFound):
		return failf(codeNotFound, "%v", err)
	case err != nil:
		return err
	}
	return nil
}

// loraInfo tells of an adapter.
type loraInfo struct {
	Name              string   `json:"name"`
	Path              string   `json:"path,omitempty"`
	Weight            float64  `json:"weight"`
	UNetWeight        *float64 `json:"unet_weight,omitempty"`
	TextEncoderWeight *float64 `json:"text_encoder_weight,omitempty"`
	Enabled           bool     `json:"enabled"`
}

// stack lists the adapters of the part with their weights of now.
func (p *part) stack() any {
	list := []loraInfo{}
	for _, a := range p.loras.Stack().Adapters {
		full := a.Filled()
		list = append(list, loraInfo{a.Label(), a.Path, *full.Weight, a.UNetWeight, a.TextEncoderWeight, *full.Enabled})
	}
	return map[string]any{"adapters": list}
}

// listLoRAs lists the adapter files in the folders of the current model.
func (s *Server) listLoRAs() (any, error) {
	m, err := s.currentModel()
	if err != nil {
		return nil, err
	}
	list := []loraInfo{}
	found, err := adapters.NewLibrary(m.LoRADirectories...).List()
	if err != nil {
		return nil, err
	}
	for _, a := range found {
		list = append(list, loraInfo{Name: a.Name, Path: a.Path, Weight: 1, Enabled: true})
	}
	return map[string]any{"adapters": list}, nil
}

func (s *Server) currentModel() (request.Model, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return request.Model{}, failf(codeNotFound, "no model is loaded")
	}
	return s.current.model, nil
}

// controlNet makes a control map of a picture, or lists preprocessors and nets.
func (s *Server) controlNet(o *order) (any, error) {
	var input, name, resize string
	var width, height *int
	var options map[string]any
	if err := fields(o.msg.body, map[string]any{"image": &input, "preprocessor": &name, "resizemode": &resize, "width": &width, "height": &height,
		"preprocessoroptions": &options}); err != nil {
		return nil, err
	}
	if input == "" {
		return s.listControls()
	}
	run, err := request.Decode(map[string]any{"controlnet": []any{map[string]any{"model": "none", "image": input, "preprocessor": name, "preprocessor_options": options}}})
	if err != nil {
		return nil, err
	}
	unit := run.Jobs[0].ControlNets[0]
	net := controlnet.Net{Preprocessor: name, Resize: controlnet.ResizeMode(resize), Options: unit.PreprocessorOptions, End: 1}
	if unit.Image.Data != nil {
		net.Image, err = pictures.Decode(unit.Image.Data, request.MaxPixels)
	} else {
		net.Image, err = pictures.Read(unit.Image.Path, request.MaxPixels)
	}
	if err != nil {
		return nil, &failure{code: codeBadFile, message: "image: " + err.Error(), exit: 3}
	}
	if err := net.Validate(); err != nil {
		return nil, failf(codeInvalid, "%v", err)
	}
	size := net.Image.Bounds().Size()
	for _, side := range []struct {
		given *int
		n     *int
		key   string
	}{{width, &size.X, "width"}, {height, &size.Y, "height"}} {
		if side.given == nil {
			continue
		}
		if *side.n = *side.given; *side.n < 1 || *side.n > request.MaxSide {
			return nil, request.Errors{{Path: side.key, Message: fmt.Sprintf("is %d; it must be 1 to %d", *side.n, request.MaxSide)}}
		}
	}
	out, err := net.Map(size.X, size.Y)
	if err != nil {
		return nil, err
	}
	data, err := encodeBase64(out, "png", 0)
	if err != nil {
		return nil, err
	}
	return imageEvent{Width: size.X, Height: size.Y, Format: "png", Bytes: len(data) / 4 * 3, Data: data}, nil
}

// listControls lists preprocessors, and the files in the current model's folders of nets.
func (s *Server) listControls() (any, error) {
	type preprocessor struct {
		Name    string `json:"name"`
		Doc     string `json:"doc"`
		Options any    `json:"options"`
	}
	list, nets := []preprocessor{}, []string{}
	for _, p := range controlnet.Preprocessors {
		list = append(list, preprocessor{p.Name, p.Doc, p.Options})
	}
	if m, err := s.currentModel(); err == nil {
		for _, dir := range m.ControlNetDirectories {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return nil, &failure{code: codeBadFile, message: err.Error(), exit: 3}
			}
			for _, e := range entries {
				nets = append(nets, filepath.Join(dir, e.Name()))
			}
		}
	}
	return map[string]any{"preprocessors": list, "nets": nets}, nil
}

// shutdown ends the worker as the end of the input does; with mode cancel what is unfinished is given up.
func (s *Server) shutdown(o *order) (any, error) {
	mode := "drain"
	if err := fields(o.msg.body, map[string]any{"mode": &mode}); err != nil {
		return nil, err
	}
	if mode != "drain" && mode != "cancel" {
		return nil, request.Errors{{Path: "mode", Message: "is unknown; expected drain or cancel"}}
	}
	s.mu.Lock()
	s.closing = true
	var others []*order
	for _, other := range s.orders {
		if other != o {
			others = append(others, other)
		}
	}
	s.mu.Unlock()
	if mode == "cancel" {
		for _, other := range others {
			other.cancelWith(queue.ErrCancelled)
		}
	}
	return nil, nil
}
