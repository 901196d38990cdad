package recall

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/locate"
	"github.com/daguerre-go/daguerre/internal/modelname"
	near "github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Options say where Find looks.
type Options struct {
	Beside string // folder in which inputs are looked for, too: the picture's
	Pull   bool   // a model that is not here and has a name of the hub keeps this name, for --pull
}

// Find puts the files of this machine in the place of the names that the picture has. run is the picture's run as flags have changed it; a
// name that was changed is left alone. A file is the right one if its sum is the picture's; a file of the right name with another sum is
// used, and Notes tell of it. A part that is missing is left out, and Notes tell of it with what comes nearest. A model or an input that
// is missing is an error, request.Errors with File set.
func (f *Found) Find(ctx context.Context, run *request.Run, o Options) error {
	var errs request.Errors
	for _, p := range f.parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		key, inner, _ := strings.Cut(p.key, ".")
		kind, _, _ := strings.Cut(key, "[")
		switch kind {
		case "model":
			f.findModel(ctx, run, p, inner, o, &errs)
		case "lora":
			f.findAdapter(ctx, run, p, o)
		case "embedding":
			f.findEmbedding(ctx, run, p)
		default:
			f.findNet(ctx, run, p, kind, inner, o)
		}
	}
	for i := range run.Jobs {
		f.findInputs(run, i, o.Beside, &errs)
	}
	return errs.Err()
}

// modelField is the field of [model] with a key.
func modelField(m *request.Model, key string) *string {
	v := reflect.ValueOf(m).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.Tag.Get("key") == key {
			return v.FieldByIndex(f.Index).Addr().Interface().(*string)
		}
	}
	panic("recall: no key " + key + " in [model]")
}

// findModel finds the model or a part of it.
func (f *Found) findModel(ctx context.Context, run *request.Run, p part, key string, o Options, errs *request.Errors) {
	field := modelField(&run.Model, key)
	if *field != p.name {
		return
	}
	if p.name == pipeline.NanoModel && key == "model" {
		if sum := nano.BaseSHA256(); len(p.sums) > 0 && !begins([]string{sum}, p.sums) {
			f.differs("nano is another one here (%s) than the picture's (%s): the picture will differ", short(sum), short(p.sums[0]))
		}
		return
	}
	files := locate.Models(run.Model.ModelDirectories...)
	s := search{ctx: ctx, part: p, byName: func(name string) (string, error) {
		path, err := locate.Find(name, files)
		if err == nil {
			_, err = os.Stat(path)
		}
		return path, err
	}, sums: modelSums, all: func() []candidate { return slices.Concat(listed(files), pulled()) }}
	path, ok := s.find(f)
	switch {
	case ok:
		*field = path
	case o.Pull && p.hub != "":
		*field = p.hub
	case key == "model":
		errs.AddFile(run.Path(0, "model.model"), "%s; give another one with --model", s.missing())
	default:
		*field = ""
		f.differs("%s; it is left out: the picture will differ", s.missing())
		withoutPart(run, key)
	}
}

// withoutPart takes out of the jobs what needs a part of the model that is missing.
func withoutPart(run *request.Run, key string) {
	for i := range run.Jobs {
		r := &run.Jobs[i]
		switch key {
		case "refiner":
			r.RefinerMode, r.RefinerStart, r.RefinerStrength, r.RefinerSteps = "", 0, 0, 0
			r.AestheticScore, r.NegativeAestheticScore = 0, 0
		case "upscaler":
			if r.Hires.Upscaler == request.UpscaleModel {
				r.Hires.Upscaler = request.UpscalePicture
			}
		case "taesd":
			run.Model.FastDecode = nil
		}
	}
}

// findAdapter finds the file of an adapter.
func (f *Found) findAdapter(ctx context.Context, run *request.Run, p part, o Options) {
	is := func(a lora.Adapter) bool { return a.Path == "" && strings.EqualFold(a.Label(), p.name) }
	if !slices.ContainsFunc(run.Jobs, func(r request.Request) bool { return slices.ContainsFunc(r.LoRAs, is) }) {
		return
	}
	files := adapterLibrary(run.Model)
	s := search{ctx: ctx, part: p, byName: files.Resolve, sums: adapterSums, all: func() []candidate { return listed(files) }, small: true}
	path, ok := s.find(f)
	if !ok && o.Pull && p.hub != "" {
		path, ok = p.hub, true
	}
	if !ok {
		f.differs("%s; it is left out: the picture will differ", s.missing())
	}
	for i := range run.Jobs {
		r := &run.Jobs[i]
		r.LoRAs = slices.Clone(r.LoRAs)
		for k := range r.LoRAs {
			if is(r.LoRAs[k]) {
				r.LoRAs[k].Path = path
			}
		}
		if !ok {
			r.LoRAs = slices.DeleteFunc(r.LoRAs, is)
		}
	}
}

// findNet finds the file of a ControlNet, an IP-Adapter or its image encoder, or a detector.
func (f *Found) findNet(ctx context.Context, run *request.Run, p part, kind, inner string, o Options) {
	role, files := netLibrary(run.Model, kind)
	if inner == "image_encoder" {
		role = inner
	}
	s := search{ctx: ctx, part: p, byName: netFinder(role, files), sums: modelSums, small: role == "detector", all: func() []candidate {
		list := slices.Concat(listed(files), pulled())
		if role == "detector" { // models lie beside them
			list = slices.DeleteFunc(list, func(c candidate) bool { return c.size > mostDetector })
		}
		return list
	}}
	for i := range run.Jobs {
		names := netNames(&run.Jobs[i], kind, inner)
		if !slices.ContainsFunc(names, func(n *string) bool { return *n == p.name }) {
			continue
		}
		path, ok := s.find(f)
		if !ok && o.Pull && p.hub != "" {
			path, ok = p.hub, true
		}
		for _, n := range names {
			if *n == p.name {
				*n = path // "" if it is missing
			}
		}
		if ok {
			continue
		}
		f.differs("%s; it is left out: the picture will differ", s.missing())
		r := &run.Jobs[i]
		r.ControlNets = slices.DeleteFunc(r.ControlNets, func(n request.ControlNet) bool { return kind == "controlnet" && n.Model == "" })
		r.IPAdapters = slices.DeleteFunc(r.IPAdapters, func(a request.IPAdapter) bool { return kind == "ip_adapter" && a.Model == "" })
		r.Details = slices.DeleteFunc(r.Details, func(d request.Detail) bool { return d.Detector == "" && d.Box == nil && d.Mask.IsZero() })
	}
}

// mostDetector is how large the file of a detector may be: YOLOv8x has 273 MB in F32.
const mostDetector = 1 << 29

// netNames are the names of a job's nets of a kind.
func netNames(r *request.Request, kind, inner string) (out []*string) {
	if kind == "controlnet" {
		r.ControlNets = slices.Clone(r.ControlNets)
		for i := range r.ControlNets {
			out = append(out, &r.ControlNets[i].Model)
		}
		return out
	}
	if kind == "detail" {
		r.Details = slices.Clone(r.Details)
		for i := range r.Details {
			out = append(out, &r.Details[i].Detector)
		}
		return out
	}
	r.IPAdapters = slices.Clone(r.IPAdapters)
	for i := range r.IPAdapters {
		if inner == "image_encoder" {
			out = append(out, &r.IPAdapters[i].ImageEncoder)
		} else {
			out = append(out, &r.IPAdapters[i].Model)
		}
	}
	return out
}

// findEmbedding looks for the file of an embedding that a prompt names. Prompts find it by its name in folders by themselves.
func (f *Found) findEmbedding(ctx context.Context, run *request.Run, p part) {
	files := library.New(library.Options{Directories: run.Model.EmbeddingDirectories, Setting: "embedding_directories", What: "embeddings",
		Flat: true, First: true})
	given := func(name string) (string, error) {
		for _, path := range run.Model.Embeddings {
			if strings.EqualFold(fileName(path), fileName(name)) {
				return path, nil
			}
		}
		return files.Resolve(name)
	}
	s := search{ctx: ctx, part: p, byName: given, sums: modelSums, all: func() []candidate { return listed(files) }, small: true}
	path, ok := s.find(f)
	if !ok {
		f.differs("%s: the prompt's word is read as text, and the picture will differ", s.missing())
		return
	}
	inFolder, err := files.Find(fileName(path))
	if !slices.Contains(run.Model.Embeddings, path) && (err != nil || inFolder != path) {
		run.Model.Embeddings = append(slices.Clone(run.Model.Embeddings), path)
	}
}

// missing says that a part is not here, and what comes nearest.
func (s *search) missing() string {
	what := strings.TrimPrefix(s.part.key, "model.")
	what, _, _ = strings.Cut(what, "[")
	switch {
	case strings.HasSuffix(s.part.key, ".image_encoder"):
		what = "image encoder"
	case what == "lora":
		what = "adapter"
	case what == "controlnet":
		what = "ControlNet"
	case what == "ip_adapter":
		what = "IP-Adapter"
	}
	text := fmt.Sprintf("the %s %s", what, near.Quote(s.part.name))
	if len(s.part.sums) > 0 {
		text += " (" + short(s.part.sums[0]) + ")"
	}
	text += " is not here"
	switch name := s.registered(); {
	case s.part.hub != "":
		text += fmt.Sprintf("; \"daguerre models pull %s\" fetches it", s.part.hub)
	case name != "":
		text += fmt.Sprintf("; by its hash it is %s: \"daguerre models pull %s\" fetches it", name, name)
	}
	if names := s.nearest(); names != "" {
		text += "; nearest by name: " + names
	}
	if s.skipped > 0 {
		text += fmt.Sprintf("; %d %s of unknown hash were not compared", s.skipped, near.Plural(s.skipped, "file"))
	}
	return text
}

// registered is the name of a well-known model with the part's hash; "": none is known.
func (s *search) registered() string {
	registry, err := modelname.Load()
	if err != nil {
		return ""
	}
	for _, e := range registry.Entries() {
		if e.SHA256 != "" && begins([]string{e.SHA256}, s.part.sums) {
			return e.Name
		}
	}
	return ""
}

// nearest lists the files that are named most like the part, with their short hashes where those are known.
func (s *search) nearest() string {
	byName := map[string]candidate{}
	var names []string
	for _, c := range s.candidates {
		names, byName[c.name] = append(names, c.name), c
	}
	const most = 2
	var out []string
	for _, n := range near.Near(s.part.name, names, most) {
		text := near.Quote(n)
		if sum := cmp.Or(byName[n].sum, pipeline.KnownHash(byName[n].path)); sum != "" {
			text += " (" + short(sum) + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}
