package modelfile

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// object is a JSON object with the place it was found at, for errors.
type object struct {
	path, field string
	values      map[string]any
}

// readObject reads a JSON configuration file.
func readObject(path string) (object, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return object{}, err
	}
	defer f.Close()
	if size > MaxConfigBytes {
		return object{}, &Error{Kind: ErrLimit, Path: path, Found: fmt.Sprintf("%s bytes, at most %s are read", group(size), group(MaxConfigBytes))}
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxConfigBytes))
	if err != nil {
		return object{}, withPath(path, err)
	}
	return parseObject(b, path, "")
}

// parseObject parses one JSON object with limited depth; of a repeated key the last value counts.
func parseObject(text []byte, path, field string) (object, error) {
	if !utf8.Valid(text) {
		return object{}, &Error{Kind: ErrConfig, Path: path, Field: field, Found: "not valid UTF-8"}
	}
	place := field
	if place == "" {
		place = "JSON"
	}
	j := newJSONReader(text)
	v, err := j.value(place)
	if err == nil {
		err = j.end(place)
	}
	if err != nil {
		e := withPath(path, err).(*Error)
		e.Kind, e.Remedy = ErrConfig, "correct it or download it again"
		return object{}, e
	}
	m, ok := v.(map[string]any)
	if !ok {
		return object{}, &Error{Kind: ErrConfig, Path: path, Field: field, Found: "found " + valueKind(v) + " instead of a JSON object"}
	}
	return object{path: path, field: field, values: m}, nil
}

// value reads any JSON value; numbers stay json.Number.
func (j *jsonReader) value(field string) (any, error) {
	tok, err := j.next(field)
	if err != nil {
		return nil, err
	}
	switch tok {
	case json.Delim('{'):
		m := map[string]any{}
		for {
			k, err := j.next(field)
			if err != nil {
				return nil, err
			}
			if k == json.Delim('}') {
				return m, nil
			}
			if m[k.(string)], err = j.value(field); err != nil {
				return nil, err
			}
		}
	case json.Delim('['):
		list := []any{}
		for j.dec.More() {
			v, err := j.value(field)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := j.next(field)
		return list, err
	}
	return tok, nil
}

func valueKind(v any) string {
	switch v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	return jsonKind(v)
}

func (o object) bad(key, format string, args ...any) error {
	return &Error{Kind: ErrConfig, Path: o.path, Field: o.key(key), Found: fmt.Sprintf(format, args...), Remedy: "correct the value"}
}

func (o object) key(key string) string {
	if o.field == "" {
		return key
	}
	if strings.HasPrefix(o.field, "metadata ") && !strings.Contains(o.field, ": ") {
		return o.field + ": " + key
	}
	return o.field + "." + key
}

// get returns a value; null counts as absent, as diffusers writes it.
func (o object) get(key string) (any, bool) {
	v, ok := o.values[key]
	return v, ok && v != nil
}

func (o object) has(key string) bool { _, ok := o.get(key); return ok }

func (o object) object(key string) (object, error) {
	v, ok := o.get(key)
	if !ok {
		return object{path: o.path, field: o.key(key)}, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return object{}, o.bad(key, "found %s instead of an object", valueKind(v))
	}
	return object{path: o.path, field: o.key(key), values: m}, nil
}

func (o object) text(key string, to *string) error {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	s, ok := v.(string)
	if !ok {
		return o.bad(key, "found %s instead of a string", valueKind(v))
	}
	*to = s
	return nil
}

func (o object) boolean(key string, to **bool) error {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	b, ok := v.(bool)
	if !ok {
		return o.bad(key, "found %s instead of true or false", valueKind(v))
	}
	*to = &b
	return nil
}

func (o object) asInt(key string, v any) (int, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, o.bad(key, "found %s instead of an integer", valueKind(v))
	}
	i, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil || i > math.MaxInt32 || i < math.MinInt32 {
		return 0, o.bad(key, "found %s instead of an integer of at most 32 bits", quoteName(n.String()))
	}
	return int(i), nil
}

func (o object) integer(key string, low, high int, to *int) error {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	i, err := o.asInt(key, v)
	if err != nil {
		return err
	}
	if i < low || i > high {
		return o.bad(key, "%d is not in %d to %d", i, low, high)
	}
	*to = i
	return nil
}

// integers reads a number or a list of numbers.
func (o object) integers(key string) ([]int, error) {
	v, ok := o.get(key)
	if !ok {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]int, len(list))
	for i, x := range list {
		var err error
		if out[i], err = o.asInt(key, x); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (o object) strings(key string) ([]string, error) {
	v, ok := o.get(key)
	if !ok {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, o.bad(key, "found %s instead of a list of strings", valueKind(v))
	}
	out := make([]string, len(list))
	for i, x := range list {
		if out[i], ok = x.(string); !ok {
			return nil, o.bad(key, "found %s in a list of strings", valueKind(x))
		}
	}
	return out, nil
}

func (o object) asNumber(key string, v any) (float64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, o.bad(key, "found %s instead of a number", valueKind(v))
	}
	x, err := n.Float64()
	if err != nil {
		return 0, o.bad(key, "%s is no usable number", quoteName(n.String()))
	}
	return x, nil
}

func (o object) number(key string, to *float64) error {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	x, err := o.asNumber(key, v)
	if err == nil {
		*to = x
	}
	return err
}

func (o object) numbers(key string, to *[]float64) error {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		return o.bad(key, "found %s instead of a list of numbers", valueKind(v))
	}
	out := make([]float64, len(list))
	for i, x := range list {
		var err error
		if out[i], err = o.asNumber(key, x); err != nil {
			return err
		}
	}
	*to = out
	return nil
}

// component tells whose config.json this is by diffusers' and transformers' class names; "" if unknown.
// Both CLIP encoders' classes can hold either; CLIPTextModelWithProjection is taken as the second.
func (o object) component() string {
	var class string
	_ = o.text("_class_name", &class)
	switch {
	case strings.HasPrefix(class, "UNet2DCondition"):
		return "unet"
	case strings.HasPrefix(class, "ControlNet"):
		return "controlnet"
	case class == "AutoencoderTiny":
		return "taesd"
	case strings.HasPrefix(class, "Autoencoder"):
		return "vae"
	case class != "":
		return ""
	}
	arch, _ := o.strings("architectures")
	if len(arch) == 1 {
		switch arch[0] {
		case "CLIPTextModel":
			return "text_encoder"
		case "CLIPTextModelWithProjection":
			return "text_encoder_2"
		}
	}
	return ""
}
