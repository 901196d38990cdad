package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

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
var Types = []string{typeHello, typeLoad, typeUnload, typeGenerate, typeBatch, typeCancel, typeStatus, typeMemory, typeDevices, typeLoRA, typeControlNet, typeShutdown}

// maxID is the longest id, in bytes of its JSON.
const maxID = 256

// changesKey is where a Supervisor writes message.changes.
const changesKey = "~changes"

// message is one line from the client.
type message struct {
	id       json.RawMessage // a string or a number, as it was written
	kind     string
	body     map[string]any // "request"; nil where there is none
	priority int
	deadline time.Time
	deliver  delivery
	casing   request.Casing // of the answers
	raw      []byte         // the whole line
	changes  []any          // of adapters, made before a supervised process died; each as the request of a lora
}

// delivery says what the client wants to be told of a job, and how.
type delivery struct {
	images   string // "path", "base64", "both" or "": a path where the request has an output, else base64
	format   string // of base64: "png", "jpeg", "webp"
	previews int    // every so many steps; 0: none
	progress bool
}

// failure is a message that cannot be served, or work that failed, as an error event tells it.
type failure struct {
	code    string
	message string
	exit    int
	fields  []request.Error
}

func (f *failure) Error() string { return f.message }

func failf(code, format string, args ...any) *failure {
	return &failure{code: code, message: fmt.Sprintf(format, args...), exit: exitOf(code)}
}

// takeChanges takes out of a client's line what only a Supervisor writes. Elsewhere it is a key like any that is unknown.
func (m *message) takeChanges(table map[string]any, supervised bool) {
	changes, ok := table[changesKey].([]any)
	if supervised && ok {
		m.changes = changes
		delete(table, changesKey)
	}
}

// parse reads a line; supervised says that a Supervisor may have written to it. With a failure the message still has what could be read: perhaps its id, and its casing.
func parse(line []byte, fallback request.Casing, supervised bool, now time.Time) (message, *failure) {
	m := message{casing: fallback, raw: line, deliver: delivery{progress: true}}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var table map[string]any
	if err := d.Decode(&table); err != nil {
		return m, failf(codeBadJSON, "not a JSON object: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return m, failf(codeBadJSON, "something follows the JSON object; write one to a line")
	}
	m.takeChanges(table, supervised)
	if c, ok := request.DetectCasing(table); ok {
		m.casing = c
	}
	var fields envelope
	bad := fields.read(table)
	if fields.id != nil {
		m.id = fields.id
	}
	m.kind, m.body = fields.kind, fields.body
	m.priority, m.deliver = fields.priority, fields.deliver
	if fields.seconds > 0 {
		m.deadline = now.Add(time.Duration(fields.seconds * float64(time.Second)))
	}
	switch {
	case fields.protocol != 0 && fields.protocol != Protocol:
		return m, failf(codeWrongVersion, "protocol %d is not spoken here; this is version %d", fields.protocol, Protocol)
	case len(bad) > 0:
		return m, &failure{code: codeBadMessage, message: bad.Error(), exit: exitOf(codeBadMessage), fields: bad}
	case !slices.Contains(Types, m.kind):
		return m, failf(codeUnknownType, "type %q is unknown%s; known are %s", words.Clip(m.kind), words.DidYouMean(m.kind, Types), strings.Join(Types, ", "))
	}
	return m, nil
}

// envelope holds the fields around a request.
type envelope struct {
	id       json.RawMessage
	kind     string
	body     map[string]any
	protocol int64
	priority int
	seconds  float64
	deliver  delivery
}

var envelopeKeys = []string{"id", "type", "request", "protocol", "priority", "deadline_seconds", "deliver"}

func (e *envelope) read(table map[string]any) (bad request.Errors) {
	e.deliver.progress = true
	for key, value := range table {
		if value == nil {
			continue
		}
		ok, want := true, ""
		switch words.FoldKey(key, "_") {
		case "id":
			e.id, ok = idOf(value)
			want = "a string or a number of at most 256 bytes"
		case "type":
			e.kind, ok = value.(string)
			want = "a string"
		case "request":
			e.body, ok = value.(map[string]any)
			want = "an object"
		case "protocol":
			e.protocol, ok = integer(value)
			want = "a version number"
		case "priority":
			var n int64
			n, ok = integer(value)
			ok = ok && n == int64(int32(n))
			e.priority, want = int(n), "an integer"
		case "deadlineseconds":
			e.seconds, ok = float(value)
			ok = ok && e.seconds > 0 && e.seconds < 1e8
			want = "a number of seconds above 0"
		case "deliver":
			inner, isTable := value.(map[string]any)
			if ok, want = isTable, "an object"; ok {
				bad = append(bad, e.deliver.read(key, inner)...)
			}
		default:
			bad.Add(key, "unknown field%s", words.DidYouMean(key, envelopeKeys))
		}
		if !ok {
			bad.Add(key, "is no %s", strings.TrimPrefix(strings.TrimPrefix(want, "a "), "an "))
		}
	}
	if e.id == nil {
		bad.Add("id", "is missing; give a string or a number of at most %d bytes", maxID)
	}
	if e.kind == "" {
		bad.Add("type", "is missing; it is one of %s", strings.Join(Types, ", "))
	}
	slices.SortFunc(bad, func(a, b request.Error) int { return strings.Compare(a.Path, b.Path) })
	return bad
}

// read reads the table of a delivery.
func (d *delivery) read(path string, table map[string]any) (bad request.Errors) {
	for key, value := range table {
		at := path + "." + key
		if value == nil {
			continue
		}
		switch words.FoldKey(key, "_") {
		case "images":
			d.images, _ = value.(string)
			if !slices.Contains([]string{"path", "base64", "both"}, d.images) {
				bad.Add(at, "is unknown; expected path, base64 or both")
			}
		case "format":
			d.format, _ = value.(string)
			if !slices.Contains([]string{"png", "jpeg", "webp"}, d.format) {
				bad.Add(at, "is unknown; expected png, jpeg or webp")
			}
		case "previews":
			n, ok := integer(value)
			if d.previews = int(n); !ok || n < 0 || n > request.MaxSteps {
				bad.Add(at, "is no number of steps; expected 0 to %d", request.MaxSteps)
			}
		case "progress":
			var ok bool
			if d.progress, ok = value.(bool); !ok {
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
