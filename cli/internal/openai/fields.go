package openai

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// asked is what a client asks for.
type asked struct {
	run      map[string]any // the run, as the studio takes it
	model    studio.Model
	format   string // of the pictures
	wantsURL bool
	stream   bool
	partial  int // partial pictures of each picture, where they are streamed
	quality  string
	percent  int // output_compression; -1: not given
	pictures [][]byte
	mask     []byte
	warnings []string
	errs     request.Errors
}

func newAsked() *asked { return &asked{run: map[string]any{}, format: "png", percent: -1} }

func (a *asked) warn(format string, args ...any) {
	a.warnings = append(a.warnings, fmt.Sprintf(format, args...))
}

// field is a field of OpenAI's requests.
type field struct {
	name string
	does string                      // for docs/serving-clients.md
	take func(a *asked, v any) error // an error says what is wrong with the value
}

// fields are the fields that are known. Others are keys of the run, or told of.
var fields = []field{
	{"prompt", "the prompt. A tag `<sd_cpp_extra_args>{...}</sd_cpp_extra_args>` in it holds further keys", textTo("prompt")},
	{"model", "a name of `GET /v1/models`; without it, the first", (*asked).setModel},
	{"n", "how many pictures", numberTo("num_images", 1, request.MaxImages)},
	{"size", "`WIDTHxHEIGHT`, multiples of 8; `auto`: the model's, or that of the picture to edit", (*asked).setSize},
	{"quality", "`low` makes half of the model's steps, `high` and `hd` 1.5 times as many, `xhigh` and `max` twice as many; " +
		"`auto`, `medium` and `standard` those of the model", (*asked).setQuality},
	{"background", "`opaque` and `auto`; `transparent` is refused", oneOf("opaque", "auto")},
	{"output_format", "`png`, `jpeg` or `webp` (lossless)", (*asked).setFormat},
	{"output_compression", "quality of JPEG, 0 to 100 (without it: 90); of others it is told that it does nothing",
		func(a *asked, v any) error { return whole(v, 0, 100, &a.percent) }},
	{"response_format", "`b64_json`, which is the default, or `url`: a URL of this server, which wants the same token",
		(*asked).setResponse},
	{"stream", "the answer comes as server-sent events", func(a *asked, v any) error { return truth(v, &a.stream) }},
	{"partial_images", "0 to 3 partial pictures of each picture, with `stream`",
		func(a *asked, v any) error { return whole(v, 0, 3, &a.partial) }},
	{"user", "left out", nothing},
	{"safety_identifier", "left out", nothing},
	{"moderation", "told: nothing is moderated here", told("nothing is moderated here")},
	{"style", "told: a model has no styles beside its prompt", told("the style is what the prompt says")},
	{"input_fidelity", "told: `strength` says how much may change", told("strength says how much of the picture may change")},
	{"complexity", "told: the steps say how much is computed", told("num_inference_steps says how much is computed")},
	{"frame_count", "refused: there are no moving pictures", refused("moving pictures are not offered")},
	{"frame_duration_ms", "refused, too", refused("moving pictures are not offered")},
	{"svg", "refused: pictures have pixels", refused("vector pictures are not offered")},
	{"markup", "refused", refused("markup is not offered; use a mask")},
	{"step", "LocalAI's name of `num_inference_steps`", numberTo("num_inference_steps", 1, request.MaxSteps)},
	{"mode", "LocalAI's: told", told("there are no modes; scheduler names the sampler")},
	{"file", "LocalAI's name of `init_image`, in base64", (*asked).setFile},
}

// setFile takes LocalAI's picture to start from.
func (a *asked) setFile(v any) error {
	data, err := pictureOf(v)
	if err == nil {
		a.run["init_image"] = studio.DataURL(data)
	}
	return err
}

// take takes all fields of a request.
func (a *asked) take(body map[string]any) {
	names := make([]string, 0, len(fields))
	known := map[string]func(*asked, any) error{}
	for _, f := range fields {
		names, known[f.name] = append(names, f.name), f.take
	}
	for _, name := range slices.Sorted(mapsKeys(body)) {
		v := body[name]
		if v == nil {
			continue
		}
		if take := known[name]; take != nil {
			if err := take(a, v); err != nil {
				a.errs.Add(name, "%v", err)
			}
			continue
		}
		a.takeKey(name, v, names)
	}
}

// takeKey takes a key of the run.
func (a *asked) takeKey(name string, v any, names []string) {
	kind, ok := face.RunKey(name)
	if !ok {
		a.warn("%s", face.Unknown(name, names))
		return
	}
	if text, isText := v.(string); isText && kind != "string" && kind != "path" {
		var said any // a form has texts only
		if json.Unmarshal([]byte(text), &said) == nil {
			if _, isText := said.(string); !isText {
				v = json.RawMessage(text)
			}
		}
	}
	if _, twice := a.run[name]; twice {
		a.errs.Add(name, "is given twice")
		return
	}
	a.run[name] = v
}

func mapsKeys(m map[string]any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func textTo(key string) func(*asked, any) error {
	return func(a *asked, v any) error {
		text, ok := v.(string)
		if !ok {
			return fmt.Errorf("is no text")
		}
		a.run[key] = text
		return nil
	}
}

// whole reads an integer, which forms have as a text.
func whole(v any, least, most int, to *int) error {
	var n int
	var err error
	switch v := v.(type) {
	case json.Number:
		var f float64
		if f, err = v.Float64(); err == nil && (f != math.Trunc(f) || math.Abs(f) > 1<<30) {
			err = fmt.Errorf("is no integer")
		}
		n = int(f)
	case string:
		n, err = strconv.Atoi(v)
	default:
		err = fmt.Errorf("is no integer")
	}
	switch {
	case err != nil:
		return fmt.Errorf("must be an integer from %d to %d", least, most)
	case n < least || n > most:
		return fmt.Errorf("is %d; it must be %d to %d", n, least, most)
	}
	*to = n
	return nil
}

func numberTo(key string, least, most int) func(*asked, any) error {
	return func(a *asked, v any) error {
		var n int
		err := whole(v, least, most, &n)
		if err == nil {
			a.run[key] = n
		}
		return err
	}
}

// truth reads a boolean, which forms have as a text.
func truth(v any, to *bool) (err error) {
	switch v := v.(type) {
	case bool:
		*to = v
		return nil
	case string:
		if *to, err = strconv.ParseBool(v); err == nil {
			return nil
		}
	}
	return fmt.Errorf("must be true or false")
}

func oneOf(values ...string) func(*asked, any) error {
	return func(_ *asked, v any) error {
		if text, ok := v.(string); !ok || !slices.Contains(values, text) {
			return fmt.Errorf("must be %s here", strings.Join(values, " or "))
		}
		return nil
	}
}

func nothing(*asked, any) error { return nil }

func told(why string) func(*asked, any) error {
	return func(a *asked, v any) error {
		if v != "" && v != "auto" {
			a.warn("%v was left out: %s", words.Clip(fmt.Sprint(v)), why)
		}
		return nil
	}
}

func refused(why string) func(*asked, any) error {
	return func(*asked, any) error { return fmt.Errorf("%s; leave it out", why) }
}

func (a *asked) setModel(v any) error {
	err := textTo("model")(a, v)
	if a.run["model"] == "" {
		delete(a.run, "model")
	}
	return err
}

func (a *asked) setSize(v any) error {
	text, _ := v.(string)
	if text == "auto" || text == "" && v == "" {
		return nil
	}
	width, height, ok := strings.Cut(strings.ToLower(text), "x")
	w, err := strconv.Atoi(width)
	h, err2 := strconv.Atoi(height)
	if !ok || err != nil || err2 != nil {
		return fmt.Errorf("must be auto, or a width and a height in pixels such as 1024x1024")
	}
	for _, n := range []int{w, h} {
		if n < 8 || n > request.MaxSide || n%8 != 0 {
			return fmt.Errorf("has a side of %d pixels; sides are multiples of 8 from 8 to %d", n, request.MaxSide)
		}
	}
	a.run["width"], a.run["height"] = w, h
	return nil
}

// qualities are the steps that are made, as a multiple of the model's.
var qualities = map[string]float64{"auto": 1, "standard": 1, "medium": 1, "low": 0.5, "high": 1.5, "hd": 1.5, "xhigh": 2, "max": 2}

func (a *asked) setQuality(v any) error {
	if text, ok := v.(string); ok && qualities[text] > 0 {
		a.quality = text
		return nil
	}
	return fmt.Errorf("must be auto, low, medium, high, xhigh, max, standard or hd; output_compression is the quality of a JPEG file")
}

func (a *asked) setFormat(v any) error {
	text, _ := v.(string)
	if text == "jpg" {
		text = "jpeg"
	}
	if !slices.Contains([]string{"png", "jpeg", "webp"}, text) {
		return fmt.Errorf("must be png, jpeg or webp")
	}
	a.format = text
	return nil
}

func (a *asked) setResponse(v any) error {
	if v != "url" && v != "b64_json" {
		return fmt.Errorf("must be b64_json or url")
	}
	a.wantsURL = v == "url"
	return nil
}
