package worker

import (
	"encoding/json"

	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

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
