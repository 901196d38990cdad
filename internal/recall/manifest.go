package recall

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// manifest is what of a manifest is not simply a key of a job.
type manifest struct {
	Made
	pipeline.Manifest
	Files []struct {
		Role   string           `json:"role"`
		Name   string           `json:"name"`
		Bytes  int64            `json:"bytes"`
		SHA256 string           `json:"sha256"`
		Source *pipeline.Source `json:"source"`
	} `json:"files"`
}

// told are keys of a manifest that say nothing of the settings, or whose meaning is in others.
var told = []string{"software", "version", "engine", "library", "go", "index", "files", "manifest_version", "memory", "warnings", "asked",
	"request_files", "inputs", "found"}

// taken are keys that are turned into settings in another way than by their name.
var taken = []string{"model", "negative_sizes", "loras", "controlnets", "ip_adapters", "refiner", "hires", "scheduler"}

// fromManifest turns a manifest of this program into a run. The keys of a job that a manifest has by the same name are taken as they are,
// so that a new key needs nothing here.
func fromManifest(text string) (*Found, error) {
	var m manifest
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return nil, fmt.Errorf("the manifest is damaged: %w", err)
	}
	if err := decode(text, &all); err != nil {
		return nil, fmt.Errorf("the manifest is damaged: %w", err)
	}
	f := &Found{Program: Own, Made: m.Made}
	if m.Version != 1 {
		f.differs("the manifest has version %d, and this program knows version 1: the picture may differ", m.Version)
	}
	job, known := map[string]any{}, jobKeys()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		switch {
		case slices.Contains(told, key) || slices.Contains(taken, key):
		case known[key]:
			job[key] = all[key]
		default:
			f.notUsed(key, words(all[key]), "this version does not know it")
		}
	}
	f.scheduler(all, job)
	f.adapters(&m, job)
	f.nets(all, job)
	f.passes(&m, all, job)
	m.sizes(job)
	run, err := decodeRun(f.model(&m, all), job)
	if err != nil {
		return nil, fmt.Errorf("the manifest: %w", err)
	}
	f.Run = run
	f.Notes = append(f.Notes, run.Notes...)
	for _, in := range m.Inputs {
		f.given = append(f.given, given{in.Key, in.Name, in.Sum})
	}
	f.usual(&m)
	return f, nil
}

// jobKeys are the keys of a job, as JSON names them.
func jobKeys() map[string]bool {
	out := map[string]bool{}
	for _, k := range request.Keys() {
		if k.Table == "" {
			out[k.Name] = true
		}
	}
	return out
}

// decode reads JSON with its numbers as they are written.
func decode(text string, to any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d.Decode(to)
}

// words is a value for a note.
func words(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return clip(string(data))
}

// scheduler takes the scheduler with all its options.
func (f *Found) scheduler(all, job map[string]any) {
	s, _ := all["scheduler"].(map[string]any)
	job["scheduler"] = s["name"]
	if options, ok := s["options"].(map[string]any); ok && len(options) > 0 {
		job["scheduler_options"] = options
	}
}

// adapters takes the adapters with the weights that counted. The tags of the prompts are among them, so they leave the prompts.
func (f *Found) adapters(m *manifest, job map[string]any) {
	var list []any
	for _, l := range m.LoRAs {
		a := map[string]any{"name": l.Name, "unet_weight": l.UNetWeight, "text_encoder_weight": l.TextEncoderWeight, "start": l.Start,
			"end": l.End}
		if len(l.BlockWeights) > 0 {
			blocks := map[string]any{}
			for k, v := range l.BlockWeights {
				blocks[k] = v
			}
			a["block_weights"] = blocks
		}
		list = append(list, a)
		f.parts = append(f.parts, part{key: "lora", name: l.Name, file: l.File, sums: sumsOf(l.SHA256, l.AutoV3), hub: hubName(l.Source)})
	}
	if len(list) > 0 {
		job["lora"] = list
		job["lora_stack"] = map[string]any{"max_adapters": max(len(list), defaultAdapters)}
	}
	if m.PromptSyntax == request.SyntaxPlain {
		return
	}
	for _, key := range []string{"prompt", "prompt_2", "negative_prompt", "negative_prompt_2"} {
		text, _ := job[key].(string)
		if rest, tags, err := prompt.ExtractLoRA(text); err == nil && len(tags) > 0 {
			job[key] = rest
		}
	}
}

// defaultAdapters is the default of lora_stack.max_adapters.
const defaultAdapters = 8

// nets takes ControlNets and IP-Adapters, whose keys are those of a request but for the name of the file.
func (f *Found) nets(all, job map[string]any) {
	for _, n := range []struct{ from, to string }{{"controlnets", "controlnet"}, {"ip_adapters", "ip_adapter"}} {
		items, _ := all[n.from].([]any)
		var list []any
		for _, item := range items {
			net, _ := item.(map[string]any)
			net["model"] = net["name"]
			delete(net, "name")
			delete(net, "source")
			list = append(list, net)
		}
		if len(list) > 0 {
			job[n.to] = list
		}
	}
}

// passes takes the refiner and the second pass.
func (f *Found) passes(m *manifest, all, job map[string]any) {
	if r, ok := all["refiner"].(map[string]any); ok {
		for from, to := range map[string]string{"mode": "refiner_mode", "start": "refiner_start", "strength": "refiner_strength",
			"num_inference_steps": "refiner_steps", "aesthetic_score": "aesthetic_score",
			"negative_aesthetic_score": "negative_aesthetic_score"} {
			if v := r[from]; v != nil {
				job[to] = v
			}
		}
	}
	if h := m.Hires; h != nil {
		job["hires"] = map[string]any{"width": h.Width, "height": h.Height, "upscaler": h.Upscaler, "strength": h.Strength, "steps": h.Steps}
	}
}

// sizes takes the sizes of the negative half, where they are not those of the positive one.
func (m *manifest) sizes(job map[string]any) {
	positive := [][2]int{m.OriginalSize, m.Crop, m.TargetSize}
	for i, key := range []string{"negative_original_size", "negative_crops_coords_top_left", "negative_target_size"} {
		if m.NegativeSizes != [3][2]int{} && m.NegativeSizes[i] != positive[i] {
			job[key] = []any{m.NegativeSizes[i][0], m.NegativeSizes[i][1]}
		}
	}
}

// usual takes out what follows from the rest by itself. A key that is changed afterwards is then followed by those that go with it.
func (f *Found) usual(m *manifest) {
	r := &f.Run.Jobs[0]
	if r.Prompt2 == r.Prompt {
		r.Prompt2 = ""
	}
	if r.NegativePrompt2 == r.NegativePrompt {
		r.NegativePrompt2 = ""
	}
	size := request.Size{Height: r.Height, Width: r.Width}
	if r.TargetSize == size {
		r.TargetSize = request.Size{}
	}
	if r.OriginalSize == size {
		r.OriginalSize = request.Size{}
	}
	if r.RefinerSteps == r.NumInferenceSteps {
		r.RefinerSteps = 0
	}
	if r.Hires.Steps == r.NumInferenceSteps {
		r.Hires.Steps = 0
	}
	if m.Refiner == nil {
		r.AestheticScore, r.NegativeAestheticScore = 0, 0
	}
}

// model makes the [model] table, and the list of its files.
func (f *Found) model(m *manifest, all map[string]any) map[string]any {
	table, _ := all["model"].(map[string]any)
	settings, known := table["settings"].(map[string]any)
	out := maps.Clone(settings)
	if out == nil {
		out = map[string]any{}
	}
	if !known {
		f.differs("the picture was made by a version that did not write all settings of the model: the picture may differ")
		if m.Model.UNetType != "" {
			out["unet_type"] = string(m.Model.UNetType)
		}
	}
	if m.Model.Precision != "" {
		out["precision"] = string(m.Model.Precision)
	}
	switch m.Model.Device {
	case "":
	case "cpu":
		out["device"] = "cpu"
	default:
		f.note("it was made on %s; on another device its pixels differ a little", m.Model.Device)
	}
	v := reflect.ValueOf(m.Model)
	for _, role := range []struct{ key, field string }{{"model", "Name"}, {"unet", "UNet"}, {"text_encoder", "TextEncoder"},
		{"text_encoder_2", "TextEncoder2"}, {"vae", "VAE"}} {
		name := v.FieldByName(role.field).String()
		if name == "" {
			continue
		}
		p := part{key: "model." + role.key, name: name}
		if role.key == "model" {
			p.hub = hubName(m.Model.Source)
		}
		for _, file := range m.Files {
			if file.Role == role.key {
				p.whole = append(p.whole, fileSum{file.Name, file.SHA256})
				p.file, p.bytes, p.sums = file.Name, file.Bytes, sumsOf(file.SHA256)
			}
		}
		if len(p.whole) > 1 {
			p.file, p.bytes, p.sums = "", 0, nil
		} else {
			p.whole = nil
		}
		out[role.key] = name
		f.parts = append(f.parts, p)
	}
	f.more(m, out)
	return out
}

// more takes the files of [model] and of the job that the manifest lists by their keys.
func (f *Found) more(m *manifest, model map[string]any) {
	add := func(key, name string, source *pipeline.Source) {
		p := part{key: key, name: name, hub: hubName(source)}
		for _, file := range m.Manifest.Files {
			if file.Key == key || file.Key == "embedding" && file.Name == name && key == "embedding" {
				p.file, p.sums = file.Name, sumsOf(file.SHA256)
			}
		}
		if strings.HasPrefix(key, "model.") {
			model[strings.TrimPrefix(key, "model.")] = name
		}
		f.parts = append(f.parts, p)
	}
	if r := m.Refiner; r != nil {
		add("model.refiner", r.Name, r.Source)
	}
	if h := m.Hires; h != nil && h.Model != "" {
		add("model.upscaler", h.Model, h.Source)
	}
	for _, file := range m.Manifest.Files {
		switch file.Key {
		case "model.taesd":
			add(file.Key, pipeline.ModelName(file.Name), nil)
		case "embedding":
			add(file.Key, file.Name, nil)
		}
	}
	for i, n := range m.ControlNets {
		add(fmt.Sprintf("controlnet[%d].model", i), n.Name, n.Source)
	}
	for i, d := range m.Details {
		if d.Detector != "" {
			add(fmt.Sprintf("detail[%d].detector", i), d.Detector, nil)
		}
	}
	for i, a := range m.IPAdapters {
		add(fmt.Sprintf("ip_adapter[%d].model", i), a.Name, a.Source)
		if a.ImageEncoder != "" {
			add(fmt.Sprintf("ip_adapter[%d].image_encoder", i), a.ImageEncoder, nil)
		}
	}
}

// sumsOf leaves out sums that are not known.
func sumsOf(list ...string) (out []string) {
	for _, s := range list {
		if s != "" {
			out = append(out, strings.ToLower(s))
		}
	}
	return out
}

// hubName is the name that a file was fetched by.
func hubName(o *pipeline.Source) string {
	if o == nil {
		return ""
	}
	return o.Name()
}
