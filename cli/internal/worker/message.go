package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// The types of messages.
const (
	typeHello      = "hello"
	typeLoad       = "load"
	typeUnload     = "unload"
	typeGenerate   = "generate"
	typeBatch      = "batch"
	typeCancel     = "cancel"
	typeStatus     = "status"
	typeMemory     = "memory"
	typeDevices    = "devices"
	typeLoRA       = "lora"
	typeControlNet = "controlnet"
	typeShutdown   = "shutdown"
)

// Types lists the types of messages.
var Types = []string{typeHello, typeLoad, typeUnload, typeGenerate, typeBatch, typeCancel, typeStatus, typeMemory, typeDevices, typeLoRA,
	typeControlNet, typeShutdown}

// maxID is the longest id, in bytes of its JSON.
const maxID = 256

// The fields that only a Supervisor writes.
const (
	changesKey = "~changes" // message.changes
	reloadKey  = "~reload"  // of a load: true if the model is the one used last
)

// message is one line from the client.
type message struct {
	id       json.RawMessage // a string or a number, as it was written
	kind     string
	body     map[string]any // "request"; nil where there is none
	priority int
	deadline time.Time
	deliver  service.Delivery
	casing   request.Casing // of the answers
	raw      []byte         // the whole line
	changes  []any          // of adapters, made before a supervised process died; each as the request of a lora

	reload, current bool // reload: a load of a model that was open before a supervised process died; current: it was the model used last
}

// takeSupervisors takes the fields out of a line that only a Supervisor writes. In a client's line they are unknown keys.
func (m *message) takeSupervisors(table map[string]any) {
	if changes, ok := table[changesKey].([]any); ok {
		m.changes = changes
		delete(table, changesKey)
	}
	if current, ok := table[reloadKey].(bool); ok {
		m.reload, m.current = true, current
		delete(table, reloadKey)
	}
}

// parse reads a line; supervised says that a Supervisor may have written to it. With a failure the message still has what could be read:
// perhaps its id, and its casing.
func parse(line []byte, fallback request.Casing, supervised bool, now time.Time) (message, error) {
	m := message{casing: fallback, raw: line}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var table map[string]any
	if err := d.Decode(&table); err != nil {
		return m, service.Errorf(codeBadJSON, "not a JSON object: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return m, service.Errorf(codeBadJSON, "something follows the JSON object; write one to a line")
	}
	if supervised {
		m.takeSupervisors(table)
	}
	if c, ok := request.DetectCasing(table); ok {
		m.casing = c
	}
	protocol, bad := m.read(table, now)
	if path, first, twice := words.KeyTwice(line, "_-"); twice {
		if words.FoldKey(path, "_-") == "id" {
			m.id = nil // nobody knows which one is meant
		}
		bad = request.Errors{{Path: path, Message: "is given twice, also as " + first}}
		return m, &service.Error{Code: codeBadMessage, Message: bad.Error(), Fields: bad}
	}
	switch {
	case protocol != 0 && protocol != Protocol:
		return m, service.Errorf(codeWrongVersion, "protocol %d is not spoken here; this is version %d", protocol, Protocol)
	case len(bad) > 0:
		return m, &service.Error{Code: codeBadMessage, Message: bad.Error(), Fields: bad}
	case !slices.Contains(Types, m.kind):
		return m, service.Errorf(codeUnknownType, "type %q is unknown%s; known are %s", words.Clip(m.kind), words.DidYouMean(m.kind, Types),
			strings.Join(Types, ", "))
	}
	return m, nil
}

var envelopeKeys = []string{"id", "type", "request", "protocol", "priority", "deadline_seconds", "deliver"}

// read takes the fields around a request.
func (m *message) read(table map[string]any, now time.Time) (protocol int64, bad request.Errors) {
	for key, value := range table {
		if value == nil {
			continue
		}
		ok, want := true, ""
		switch words.FoldKey(key, "_") {
		case "id":
			m.id, ok = idOf(value)
			want = "string or a number of at most 256 bytes"
		case "type":
			m.kind, ok = value.(string)
			want = "string"
		case "request":
			m.body, ok = value.(map[string]any)
			want = "object"
		case "protocol":
			protocol, ok = integer(value)
			want = "version number"
		case "priority":
			var n int64
			n, ok = integer(value)
			ok = ok && n == int64(int32(n))
			m.priority, want = int(n), "integer"
		case "deadlineseconds":
			var seconds float64
			seconds, ok = float(value)
			if ok, want = ok && seconds > 0 && seconds < 1e8, "number of seconds above 0"; ok {
				m.deadline = now.Add(time.Duration(seconds * float64(time.Second)))
			}
		case "deliver":
			inner, isTable := value.(map[string]any)
			if ok, want = isTable, "object"; ok {
				bad = append(bad, readDelivery(&m.deliver, key, inner)...)
			}
		default:
			bad.Add(key, "unknown field%s", words.DidYouMean(key, envelopeKeys))
		}
		if !ok {
			bad.Add(key, "is no %s", want)
		}
	}
	if m.id == nil {
		bad.Add("id", "is missing; give a string or a number of at most %d bytes", maxID)
	}
	if m.kind == "" {
		bad.Add("type", "is missing; it is one of %s", strings.Join(Types, ", "))
	}
	slices.SortFunc(bad, func(a, b request.Error) int { return strings.Compare(a.Path, b.Path) })
	return protocol, bad
}

// readDelivery reads the table of a delivery.
func readDelivery(d *service.Delivery, path string, table map[string]any) (bad request.Errors) {
	for key, value := range table {
		at := path + "." + key
		if value == nil {
			continue
		}
		switch words.FoldKey(key, "_") {
		case "images":
			d.Images, _ = value.(string)
			if !slices.Contains([]string{service.ImagesPath, service.ImagesBase64, service.ImagesBoth}, d.Images) {
				bad.Add(at, "is unknown; expected path, base64 or both")
			}
		case "format":
			format, _ := value.(string)
			if d.Format = imagefile.Format(format); !slices.Contains([]imagefile.Format{imagefile.PNG, imagefile.JPEG, imagefile.WebP}, d.Format) {
				bad.Add(at, "is unknown; expected png, jpeg or webp")
			}
		case "previews":
			n, ok := integer(value)
			if d.Previews = int(n); !ok || n < 0 || n > request.MaxSteps {
				bad.Add(at, "is no number of steps; expected 0 to %d", request.MaxSteps)
			}
		case "progress":
			on, ok := value.(bool)
			if d.Quiet = !on; !ok {
				bad.Add(at, "is no boolean")
			}
		default:
			bad.Add(at, "unknown field%s", words.DidYouMean(key, []string{"images", "format", "previews", "progress"}))
		}
	}
	return bad
}

// idOf returns the JSON of an id.
func idOf(value any) (json.RawMessage, bool) {
	switch value.(type) {
	case string, json.Number:
		if data, err := json.Marshal(value); err == nil && len(data) <= maxID {
			return data, true
		}
	}
	return nil, false
}

// idInPrefix looks for the id in the beginning of a line that was too long to be read.
func idInPrefix(prefix []byte) json.RawMessage {
	d := json.NewDecoder(bytes.NewReader(prefix))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for {
		key, err := d.Token()
		if err != nil {
			return nil
		}
		value, err := d.Token()
		if err != nil {
			return nil
		}
		if name, _ := key.(string); words.FoldKey(name, "_") == "id" {
			id, ok := idOf(value)
			if !ok {
				return nil
			}
			return id
		}
		if _, nested := value.(json.Delim); nested {
			return nil // what is inside cannot be skipped without an end
		}
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

// loadBody is a load's request in the shape of a run file: {"model": ...}, or a model's table by itself.
func loadBody(body map[string]any) map[string]any {
	out := map[string]any{}
	whole := false
	for key, value := range body {
		switch words.FoldKey(key, "_") {
		case "name":
			continue
		case "model":
			_, isTable := value.(map[string]any)
			whole = whole || isTable || value != nil && len(body) <= 2
		}
		out[key] = value
	}
	if whole || len(out) == 0 {
		return out
	}
	return map[string]any{"model": out}
}

// nameOf reads the name of a load or unload.
func nameOf(body map[string]any) (string, error) {
	for key, value := range body {
		if words.FoldKey(key, "_") != "name" || value == nil {
			continue
		}
		name, ok := value.(string)
		if !ok || name == "" || len(name) > 200 {
			return "", &service.Error{Code: service.CodeInvalid, Message: key + ": is no name",
				Fields: request.Errors{{Path: key, Message: "is no name; give a text of 1 to 200 bytes"}}}
		}
		return name, nil
	}
	return "", nil
}

// readChange reads the request of a lora: a change, and the id of the request whose adapter is to change.
func readChange(body map[string]any) (target json.RawMessage, c service.Change, err error) {
	err = fields(body, map[string]any{"target": &target, "name": &c.Name, "job": &c.Job, "weight": &c.Weight, "unetweight": &c.UNet,
		"textencoderweight": &c.Text, "enabled": &c.Enabled})
	return target, c, err
}

// changesOf reads the changes that a Supervisor gives along with a request that another process was told of.
func changesOf(m *message) (changes []service.Change) {
	for _, x := range m.changes {
		body, _ := x.(map[string]any)
		if _, c, err := readChange(body); err == nil {
			changes = append(changes, c)
		}
	}
	return changes
}

func integer(value any) (int64, bool) {
	n, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}

func float(value any) (float64, bool) {
	n, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	x, err := n.Float64()
	return x, err == nil
}
