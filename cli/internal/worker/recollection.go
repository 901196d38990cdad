package worker

import (
	"reflect"
	"slices"

	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// recollection is a Supervisor's knowledge of the models that the process has open. With it a new process opens the same models under the
// same names, and a request that names no model gets the same one.
type recollection struct {
	most    int      // as Options.MaxModels
	models  []*known // the ones used last are at the end
	current *known   // the one used last; nil: none
}

// known is a model.
type known struct {
	name    string
	model   request.Model
	line    []byte // a load of it
	open    bool   // it was loaded, or pictures were made with it
	gone    bool   // it was forgotten
	strikes int
}

// reloadEvent says that a model could not be opened again.
type reloadEvent struct {
	Model   string `json:"model"`
	Message string `json:"message"`
}

// modelIn reads the model that a message names, as it was written. If it names none, the result is the zero Model.
func modelIn(m *message) (model request.Model, value any) {
	body := m.body
	if m.kind == typeLoad {
		body = loadBody(m.body)
	}
	for key, v := range body {
		if words.FoldKey(key, "_-") == "model" {
			value = v
		}
	}
	run, err := request.Decode(map[string]any{"model": value})
	if err != nil {
		return request.Model{}, nil // the process will refuse it
	}
	return run.Model, value
}

// use notes that the process has accepted a message, in the same way as service.Service does.
func (r *recollection) use(p *pending) {
	switch p.msg.kind {
	case typeLoad, typeGenerate, typeBatch:
	case typeUnload:
		p.before = r.current
		if name, _ := nameOf(p.msg.body); name == "" || r.current != nil && r.current.name == name {
			r.current = nil
		}
		return
	default:
		return
	}
	if p.again != nil { // the Supervisor's own load: after has set the current model
		return
	}
	p.before = r.current
	model, value := modelIn(&p.msg)
	name := model.Model
	if p.msg.kind == typeLoad {
		if given, _ := nameOf(p.msg.body); given != "" {
			name = given
		}
	}
	switch {
	case reflect.ValueOf(model).IsZero():
		if p.uses = r.current; p.uses == nil {
			return
		}
	default:
		if p.uses = r.find(p.msg.kind, name, model); p.uses == nil {
			p.uses = &known{name: name, model: model,
				line: with(with([]byte(`{"type":"load"}`), "request", map[string]any{"model": value, "name": nameless(name)}), "id", "")}
		}
	}
	p.uses.gone = false
	r.models = append(slices.DeleteFunc(r.models, func(k *known) bool { return k == p.uses }), p.uses)
	r.current = p.uses
	closed := max(len(r.models)-r.most, 0)
	p.closes, r.models = slices.Clone(r.models[:closed]), r.models[closed:]
}

// nameless is a name as a load writes it: null if there is none.
func nameless(name string) any {
	if name == "" {
		return nil
	}
	return name
}

// find looks for a model in the same way as service.Service does.
func (r *recollection) find(kind, name string, model request.Model) *known {
	named := reflect.DeepEqual(model, request.Model{Model: model.Model})
	for _, k := range r.models {
		if (kind == typeLoad || named) && k.name == name {
			return k
		}
	}
	for _, k := range r.models {
		if kind != typeLoad && reflect.DeepEqual(k.model, model) {
			return k
		}
	}
	return nil
}

// ended notes the end of a message.
func (r *recollection) ended(p *pending, h *heard) {
	ok := h.Event == "done"
	switch {
	case p.msg.kind == typeUnload && ok:
		for _, k := range slices.Clone(r.models) {
			if k.name == h.Result.Name {
				r.forget(k)
			}
		}
	case p.uses == nil:
	case ok || p.images > 0:
		p.uses.open = true
		if p.msg.kind == typeLoad {
			p.uses.name = h.Result.Name
		}
	case h.Code == service.CodeBusy || p.msg.kind == typeLoad && h.Code == service.CodeInvalid && !p.started: // it was refused
		if r.current == p.uses && p.uses != p.before {
			r.current = p.before
		}
		if !p.uses.open {
			r.forget(p.uses)
		}
		r.models = append(p.closes, r.models...)
	case !p.uses.open: // it could not be opened, perhaps
		r.forget(p.uses)
	}
}

func (r *recollection) forget(k *known) {
	k.gone = true
	r.models = slices.DeleteFunc(r.models, func(x *known) bool { return x == k })
	if r.current == k {
		r.current = nil
	}
}

// after returns the models that a new process must load before it gets messages. It sets the current model back to the one before the first
// of these messages.
func (r *recollection) after(messages []*pending) []*known {
	for _, p := range messages {
		if p.accepted && slices.Contains([]string{typeLoad, typeGenerate, typeBatch, typeUnload}, p.msg.kind) {
			if r.current = p.before; r.current != nil && r.current.gone {
				r.current = nil
			}
			break
		}
	}
	r.models = slices.DeleteFunc(r.models, func(k *known) bool { return !k.open && k != r.current })
	if k := r.current; k != nil {
		r.models = append(slices.DeleteFunc(r.models, func(x *known) bool { return x == k }), k)
	}
	r.models = r.models[max(len(r.models)-r.most, 0):]
	return slices.Clone(r.models)
}
