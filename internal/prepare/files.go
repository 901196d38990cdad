package prepare

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/locate"
	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Files lists the files that the request's pictures depend on besides the model's: the file found for every name, and every input.
func (p *Prepared) Files() []string {
	r := &p.Request
	out := []string{r.InitImage.Path, r.MaskImage.Path, r.Noise.Path, r.Latents.Path}
	for i, n := range r.ControlNets {
		out = append(out, n.Image.Path)
		if i >= len(p.Controls) || p.Controls[i].ID.IsZero() {
			continue
		}
		path := p.Controls[i].Path
		out = append(out, path)
		config := filepath.Join(filepath.Dir(path), "config.json")
		if _, err := os.Stat(config); err == nil { // settings that weights do not show are read from it
			out = append(out, config)
		}
	}
	for _, g := range r.Regions {
		out = append(out, g.Mask.Path)
	}
	for _, d := range r.Details {
		out = append(out, d.Mask.Path)
	}
	for _, d := range p.Details { // which may name adapters of their own
		out = append(out, d.Files()...)
		if d.Finder != nil && !d.Finder.ID.IsZero() {
			out = append(out, d.Finder.Path)
		}
	}
	for _, a := range p.IPAdapters {
		out = append(out, a.Embeds.Path, a.Faces.Path)
		for _, list := range [][]request.Picture{a.Images, a.Masks} {
			for _, pic := range list {
				out = append(out, pic.Path)
			}
		}
		for _, f := range []struct {
			path string
			id   identity.ID
		}{{a.Path, a.ID}, {a.Encoder, a.EncoderID}} {
			if !f.id.IsZero() {
				out = append(out, f.path)
			}
		}
		config := filepath.Join(filepath.Dir(a.Encoder), "config.json")
		if _, err := os.Stat(config); err == nil && a.Encoder != "" {
			out = append(out, config)
		}
	}
	for _, a := range p.Adapters.Enabled() {
		out = append(out, p.Adapters.Path(a))
	}
	out = append(append(out, p.Embeddings...), p.Phrases...)
	return slices.DeleteFunc(out, func(path string) bool { return path == "" })
}

// Embedded is what stands for the file of the model that is part of the program.
const Embedded = locate.Embedded

// CheckFiles looks whether the files and folders that a run names are there. Nothing is read. What is missing is told as request.Errors.
func CheckFiles(run request.Run) error {
	var errs request.Errors
	checkModels(run, &errs)
	library := adapters.NewLibrary(run.Model.LoRADirectories...)
	for i, job := range run.Jobs {
		at := func(key string) string { return run.Path(i, key) }
		if drawn, same := checkPhrases(job, run.Model, at, &errs); same {
			adaptersOf(drawn, library, at, &errs)
		}
		for _, in := range pictures(&job) {
			missing(at(in.key), in.pic.Path, &errs)
		}
		job.Inputs(func(string, *request.Picture) {}, func(key string, a *request.Array) { missing(at(key), a.Path, &errs) })
	}
	return errs.Err()
}

// checkModels looks whether what [model] names is there.
func checkModels(run request.Run, errs *request.Errors) {
	before := len(*errs)
	locateModel(&run, errs)
	m := run.Model
	for _, t := range modelTexts(&m) {
		key := run.Path(0, "model."+t.key)
		if !slices.ContainsFunc((*errs)[before:], func(e request.Error) bool { return e.Path == key }) {
			missing(key, *t.text, errs)
		}
	}
	for _, n := range []struct {
		key   string
		paths []string
	}{{"embedding_directories", m.EmbeddingDirectories}, {"controlnet_directories", m.ControlNetDirectories},
		{"ip_adapter_directories", m.IPAdapterDirectories},
		{"lora_directories", m.LoRADirectories}, {"model_directories", m.ModelDirectories},
		{"wildcard_directories", m.WildcardDirectories}, {"style_files", m.StyleFiles}} {
		for _, path := range n.paths {
			missing(run.Path(0, "model."+n.key), path, errs)
		}
	}
}

// missing adds a mistake if there is neither a file nor a folder of a path. No path is right.
func missing(key, path string, errs *request.Errors) {
	if path == "" || path == Embedded {
		return
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		errs.AddFile(key, "%v", regular.Missing(path, err))
	}
}

// Unchanged returns an error if the file of a ControlNet or an adapter has changed since the request was prepared. The error matches
// identity.ErrChanged.
func (p *Prepared) Unchanged() error {
	for i, c := range p.Controls {
		if err := c.ID.Check(c.Path); err != nil {
			return fmt.Errorf("controlnet[%d]: %w", i, err)
		}
	}
	for i, a := range p.IPAdapters {
		if err := errors.Join(a.ID.Check(a.Path), a.EncoderID.Check(a.Encoder)); err != nil {
			return fmt.Errorf("ip_adapter[%d]: %w", i, err)
		}
	}
	for k, d := range p.Details {
		if d.Finder == nil {
			continue
		}
		if err := d.Finder.ID.Check(d.Finder.Path); err != nil {
			return fmt.Errorf("detail[%d]: %w", k, err)
		}
	}
	for _, a := range p.Adapters.Enabled() {
		if _, err := p.Adapters.Resolve(a); err != nil {
			return fmt.Errorf("lora %q: %w", a.Label(), err)
		}
	}
	return nil
}
