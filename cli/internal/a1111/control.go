package a1111

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// moduleOf is a preprocessor's name here: A1111's lists may explain a module in brackets.
func moduleOf(name string) string {
	if _, err := controlnet.Find(name); err != nil {
		if short, _, found := strings.Cut(name, " ("); found {
			return short
		}
	}
	return name
}

func (f *server) nets(*http.Request, *told) (any, error) {
	names, err := f.s.Files(catalog.Net)
	if err != nil {
		return nil, err
	}
	adapters, err := f.s.Files(catalog.IPAdapter)
	return map[string][]string{"model_list": append(names, slices.DeleteFunc(adapters, notAdapter)...)}, err
}

// notAdapter reports whether a unit could not tell by a file's name that it is an IP-Adapter's: it is an image encoder's, for example.
func notAdapter(name string) bool {
	return !strings.HasPrefix(strings.ReplaceAll(strings.ToLower(path.Base(name)), "_", "-"), "ip-adapter")
}

func (f *server) modules(*http.Request, *told) (any, error) {
	names, detail := []string{}, map[string]any{}
	for _, p := range controlnet.Preprocessors {
		names = append(names, p.Name)
		sliders := []map[string]any{}
		for _, o := range p.Options {
			sliders = append(sliders, map[string]any{"name": o.Name, "value": o.Default, "min": o.Min, "max": o.Max})
		}
		detail[p.Name] = map[string]any{"model_free": p.Name == "none", "sliders": sliders}
	}
	names = append(names, showing)
	detail[showing] = map[string]any{"model_free": false, "sliders": []map[string]any{}}
	return map[string]any{"module_list": names, "module_detail": detail}, nil
}

// showing is the module of units that are IP-Adapters. The image encoder is the one that fits the adapter.
const showing = "ip-adapter-auto"

// maxDetected is how many pictures detect takes at once.
const maxDetected = 32

// detect makes the maps of pictures.
func (f *server) detect(r *http.Request, t *told) (any, error) {
	body, err := read(r)
	if err != nil {
		return nil, err
	}
	module, _ := body["controlnet_module"].(string)
	list, _ := body["controlnet_images"].([]any)
	if len(list) == 0 || len(list) > maxDetected {
		return nil, invalid("controlnet_images", "has %d pictures; give 1 to %d, in base64", len(list), maxDetected)
	}
	for name := range body {
		switch name {
		case "controlnet_module", "controlnet_images", "controlnet_threshold_a", "controlnet_threshold_b":
		case "controlnet_processor_res":
			t.warn("controlnet_processor_res was left out: a map has the picture's size")
		default:
			t.warn("%s is not known here and was left out", name)
		}
	}
	unit := request.ControlNet{Preprocessor: moduleOf(module), ResizeMode: "stretch"}
	if unit.Preprocessor == "canny" {
		unit.PreprocessorOptions = map[string]any{}
		for name, option := range map[string]string{"controlnet_threshold_a": "low_threshold", "controlnet_threshold_b": "high_threshold"} {
			if x, ok := number(body[name]); ok && x >= 0 {
				unit.PreprocessorOptions[option] = x
			}
		}
	}
	out := []string{}
	for i, v := range list {
		data, err := pictureOf(v)
		if err != nil {
			return nil, invalid(fmt.Sprintf("controlnet_images[%d]", i), "%v", err)
		}
		unit.Image = request.Picture{Data: data}
		m, warnings, err := f.s.ControlMap(r.Context(), unit, nil, nil)
		if err != nil {
			return nil, err
		}
		t.warnings = append(t.warnings, warnings...)
		out = append(out, base64.StdEncoding.EncodeToString(m.Data))
	}
	return map[string]any{"images": out, "info": "Success"}, nil
}

// pictureOf reads a picture in base64, with or without the head of a data URL. The server fetches nothing.
func pictureOf(v any) ([]byte, error) {
	text, _ := v.(string)
	if strings.Contains(text[:min(len(text), 16)], "://") {
		return nil, fmt.Errorf("is a URL, and the server fetches none; give the picture's bytes in base64")
	}
	if rest, ok := strings.CutPrefix(text, "data:"); ok {
		_, text, _ = strings.Cut(rest, ",")
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(data) == 0 {
		return nil, fmt.Errorf("must be a picture in base64")
	}
	return data, nil
}
