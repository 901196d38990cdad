package modelfile

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/daguerre-go/daguerre/internal/fault"
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
		return object{}, &Error{Kind: ErrLimit, Path: path, Found: fmt.Sprintf("%s bytes, at most %s are read", group(size),
			group(MaxConfigBytes))}
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
	var v any
	err := fault.Catch(func() {
		place := cmp.Or(field, "JSON")
		j := newJSONReader(text)
		v = j.value(place)
		j.end(place)
	})
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
func (j *jsonReader) value(field string) any {
	switch tok := j.next(field); tok {
	case json.Delim('{'):
		m := map[string]any{}
		for k := j.next(field); k != json.Delim('}'); k = j.next(field) {
			m[k.(string)] = j.value(field)
		}
		return m
	case json.Delim('['):
		list := []any{}
		for j.dec.More() {
			list = append(list, j.value(field))
		}
		j.next(field)
		return list
	default:
		return tok
	}
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

func (o object) bad(key, format string, args ...any) *Error {
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

func (o object) object(key string) object {
	v, ok := o.get(key)
	if !ok {
		return object{path: o.path, field: o.key(key)}
	}
	return object{path: o.path, field: o.key(key), values: as[map[string]any](o, key, v, "instead of an object")}
}

// as is a value of the type that is needed.
func as[T any](o object, key string, v any, need string) T {
	x, ok := v.(T)
	if !ok {
		panic(o.bad(key, "found %s %s", valueKind(v), need))
	}
	return x
}

func (o object) integer(key string, v any) int {
	n := as[json.Number](o, key, v, "instead of an integer")
	i, err := strconv.ParseInt(n.String(), 10, 32)
	if err != nil {
		panic(o.bad(key, "found %s instead of an integer of at most 32 bits", quoteName(n.String())))
	}
	return int(i)
}

func (o object) within(key string, v any, bounds []int) int {
	i := o.integer(key, v)
	if i < bounds[0] || i > bounds[1] {
		panic(o.bad(key, "%d is not in %d to %d", i, bounds[0], bounds[1]))
	}
	return i
}

func (o object) number(key string, v any) float64 {
	n := as[json.Number](o, key, v, "instead of a number")
	x, err := n.Float64()
	if err != nil {
		panic(o.bad(key, "%s is no usable number", quoteName(n.String())))
	}
	return x
}

// into reads a value into what `to` points at, which stays as it is where the key is absent. bounds are the smallest and the largest
// value of an int. A list of ints may be written as one number.
func (o object) into(key string, to any, bounds ...int) {
	v, ok := o.get(key)
	if !ok {
		return
	}
	switch to := to.(type) {
	case *string:
		*to = as[string](o, key, v, "instead of a string")
	case **bool:
		b := as[bool](o, key, v, "instead of true or false")
		*to = &b
	case *int:
		*to = o.within(key, v, bounds)
	case **int:
		i := o.within(key, v, bounds)
		*to = &i
	case *float64:
		*to = o.number(key, v)
	case **float64:
		x := o.number(key, v)
		*to = &x
	case *[]int:
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		*to = make([]int, len(list))
		for i, x := range list {
			(*to)[i] = o.integer(key, x)
		}
	case *[]string:
		list := as[[]any](o, key, v, "instead of a list of strings")
		*to = make([]string, len(list))
		for i, x := range list {
			(*to)[i] = as[string](o, key, x, "in a list of strings")
		}
	case *[]float64:
		list := as[[]any](o, key, v, "instead of a list of numbers")
		*to = make([]float64, len(list))
		for i, x := range list {
			(*to)[i] = o.number(key, x)
		}
	}
}

// fill reads the values of a struct's fields under the keys that their json tags give. A range tag has the bounds of an int. All values
// that are wrong are told.
func (o object) fill(to any) {
	v := reflect.ValueOf(to).Elem()
	var errs []error
	for i := range v.NumField() {
		tags := v.Type().Field(i).Tag
		key, _, _ := strings.Cut(tags.Get("json"), ",")
		bounds := make([]int, 2)
		_, _ = fmt.Sscan(tags.Get("range"), &bounds[0], &bounds[1]) // only of ints
		errs = append(errs, fault.Catch(func() { o.into(key, v.Field(i).Addr().Interface(), bounds...) }))
	}
	fault.Check(errors.Join(errs...))
}

// component tells whose config.json this is by diffusers' and transformers' class names; "" if unknown.
// Both CLIP encoders' classes can hold either; CLIPTextModelWithProjection is taken as the second. CLIPModel
// has the vision side too.
func (o object) component() string {
	class, _ := o.values["_class_name"].(string)
	switch {
	case strings.HasPrefix(class, "UNet2DCondition"):
		return "unet"
	case strings.HasPrefix(class, "ControlNet"), class == "T2IAdapter":
		return "controlnet"
	case class == "AutoencoderTiny":
		return "taesd"
	case strings.HasPrefix(class, "Autoencoder"):
		return "vae"
	case class != "":
		return ""
	}
	if arch, _ := o.values["architectures"].([]any); len(arch) == 1 {
		switch arch[0] {
		case "CLIPTextModel", "CLIPModel":
			return "text_encoder"
		case "CLIPTextModelWithProjection":
			return "text_encoder_2"
		case "CLIPVisionModelWithProjection", "CLIPVisionModel":
			return "image_encoder"
		}
	}
	return ""
}
