package catalog

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// UploadScheme begins the name of an uploaded file where a run has a path: "upload:" and its id.
const UploadScheme = "upload:"

// Decode reads a client's run in JSON, over the defaults of the model that it names, and checks that it names no file of the server. The
// run's Model has names only. Its seeds are drawn. notes tell of what is done otherwise than the client may expect.
func (c *Catalog) Decode(body []byte) (run request.Run, m Model, notes []string, err error) {
	said, err := request.DecodeJSON(body)
	if err != nil {
		return said, m, nil, err
	}
	var errs request.Errors
	m, ok := c.Find(said.Model.Model)
	if !ok {
		errs.Add(said.Path(0, "model.model"), "there is no model %q here%s; GET /v1/models lists them", words.Clip(said.Model.Model),
			words.DidYouMean(said.Model.Model, c.names()))
	}
	c.checkModel(m.Name, said.Path(0, "model.model"), &errs)
	c.checkEmbeddings(string(body), said.Path(0, "prompt"), &errs)
	notes = c.check(&said, &errs)
	if err := errs.Err(); err != nil {
		return said, m, nil, err
	}
	if run, err = m.Defaults.DecodeJSON(body); err != nil {
		return run, m, nil, err
	}
	run.Model = said.Model
	run.Model.Model = m.Name
	for i := range run.Jobs {
		job := &run.Jobs[i]
		job.Output, job.SaveLatents = said.Jobs[i].Output, ""
		if job.Seed < 0 {
			job.Seed = int64(rand.Uint32())
		}
	}
	if err := run.ValidateJobs(); err != nil {
		return run, m, notes, err
	}
	return run, m, notes, c.checkTexts(run, m)
}

func (c *Catalog) names() (list []string) {
	for _, m := range c.models {
		list = append(list, m.Name)
	}
	return list
}

// check finds what a client's run says that a client may not say.
func (c *Catalog) check(run *request.Run, errs *request.Errors) (notes []string) {
	named := func(kind Kind, path, name string) {
		if name == "" {
			return
		}
		if _, err := c.path(kind, name); err != nil {
			errs.Add(path, "there is no %s %q here; a server's files are named as its lists name them", kind, words.Clip(name))
		}
		c.checkFile(kind, name, path, errs)
	}
	m := run.Model
	named(VAE, run.Path(0, "model.vae"), m.VAE)
	named(Refiner, run.Path(0, "model.refiner"), m.Refiner)
	named(Upscaler, run.Path(0, "model.upscaler"), m.Upscaler)
	m.Model, m.VAE, m.Refiner, m.Upscaler = "", "", "", ""
	for key := range given(m) {
		errs.Add(run.Path(0, "model."+key), "is set by the server, not by its clients")
	}
	for i, job := range run.Jobs {
		at := func(format string, args ...any) string { return run.Path(i, fmt.Sprintf(format, args...)) }
		uploaded := func(path, file string) {
			if id, ok := strings.CutPrefix(file, UploadScheme); file != "" && !(ok && IsUpload(id)) {
				errs.Add(path, "%q is no upload; give the bytes as a data URL, or upload the file and write upload: and its id",
					words.Clip(file))
			}
		}
		if job.PromptFile != "" {
			errs.Add(at("prompt_file"), "is a file of the server's; send a job for each prompt")
		}
		job.Inputs(func(key string, p *request.Picture) { uploaded(at("%s", key), p.Path) },
			func(key string, a *request.Array) { uploaded(at("%s", key), a.Path) })
		for k, a := range job.IPAdapters {
			named(IPAdapter, at("ip_adapter[%d].model", k), a.Model)
			named(IPAdapter, at("ip_adapter[%d].image_encoder", k), a.ImageEncoder)
			if a.SaveEmbeds != "" {
				errs.Add(at("ip_adapter[%d].save_embeds", k), "is not offered by the server")
			}
		}
		for k, d := range job.Details {
			named(Detector, at("detail[%d].detector", k), d.Detector)
		}
		for k, n := range job.ControlNets {
			named(Net, at("controlnet[%d].model", k), n.Model)
		}
		for k, a := range job.LoRAs {
			if a.Path != "" {
				errs.Add(at("lora[%d].path", k), "is a path; give the adapter's name")
			}
			named(LoRA, at("lora[%d].name", k), a.Name)
		}
		for key, text := range map[string]string{"prompt": job.Prompt, "prompt_2": job.Prompt2} {
			if job.PromptSyntax == request.SyntaxPlain {
				break // tags are text
			}
			_, tags, err := prompt.ExtractLoRA(text)
			if err != nil {
				errs.Add(at("%s", key), "%v", err)
			}
			for _, tag := range tags {
				named(LoRA, at("%s", key), tag.Name)
			}
		}
		if job.SaveLatents != "" {
			errs.Add(at("save_latents"), "is not offered by the server")
		}
		if job.Output != "" {
			notes = append(notes, at("output")+": nothing is written under this name; only its format counts")
		}
	}
	return notes
}

// given lists the keys of a model's table that are set.
func given(m request.Model) map[string]bool {
	keys := map[string]bool{}
	v := reflect.ValueOf(m)
	for i := range v.NumField() {
		if key := v.Type().Field(i).Tag.Get("key"); !v.Field(i).IsZero() {
			keys[key] = true
		}
	}
	return keys
}

// uploadID is the length of the id of an upload: the SHA-256 of its bytes in hexadecimal.
const uploadID = 64

// IsUpload reports whether a text may be the id of an upload.
func IsUpload(id string) bool {
	return len(id) == uploadID && strings.Trim(id, "0123456789abcdef") == ""
}
