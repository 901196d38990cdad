package prepare

import (
	"fmt"

	"github.com/daguerre-go/daguerre/internal/locate"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// modelText is a text of [model] that names a file: a path, or the name of a model that was fetched.
type modelText struct {
	key  string // without "model."
	text *string
}

// modelTexts lists the texts of a model that name files.
func modelTexts(m *request.Model) []modelText {
	list := []modelText{{"model", &m.Model}, {"refiner", &m.Refiner}, {"unet", &m.UNet}, {"text_encoder", &m.TextEncoder},
		{"text_encoder_2", &m.TextEncoder2}, {"vae", &m.VAE}, {"taesd", &m.TAESD}, {"upscaler", &m.Upscaler}}
	for i := range m.Embeddings {
		list = append(list, modelText{fmt.Sprintf("embeddings[%d]", i), &m.Embeddings[i]})
	}
	return list
}

// Names lists the texts of a run that may name models which were fetched, or are to be: those of [model], ControlNets and adapters.
func Names(run request.Run) []string {
	var out []string
	for _, t := range modelTexts(&run.Model) {
		out = append(out, *t.text)
	}
	for _, job := range run.Jobs {
		for _, n := range job.ControlNets {
			out = append(out, n.Model)
		}
		for _, d := range job.Details {
			out = append(out, d.Detector)
		}
		for _, a := range job.IPAdapters {
			out = append(out, a.Model, a.ImageEncoder)
		}
		for _, a := range job.LoRAs {
			if a.Filled().Enabled == nil || *a.Filled().Enabled {
				out = append(out, a.Path)
				if a.Path == "" {
					out = append(out, a.Name)
				}
			}
		}
	}
	return out
}

// Locate replaces the names in a run's [model] by the paths of their files. Paths stay as they are. Errors are request.Errors: of names
// that are not here, and of those that may mean two files.
func Locate(run *request.Run) error {
	var errs request.Errors
	locateModel(run, &errs)
	return errs.Err()
}

func locateModel(run *request.Run, errs *request.Errors) {
	files := locate.Models(run.Model.ModelDirectories...)
	run.Model.Embeddings = append([]string(nil), run.Model.Embeddings...) // the caller's own may be shared
	for _, t := range modelTexts(&run.Model) {
		path, err := locate.Find(*t.text, files)
		if err != nil {
			errs.AddFile(run.Path(0, "model."+t.key), "%v", err)
			continue
		}
		*t.text = path
	}
}
