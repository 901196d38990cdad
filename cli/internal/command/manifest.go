package command

import (
	"encoding/json"
	"runtime"

	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// manifest is everything that is needed to make a picture again, stored as JSON in the "daguerre" chunk of PNG files: the pipeline's
// manifest and what computed it. It holds no time and no folder, so that equal runs give equal files.
type manifest struct {
	Software string     `json:"software"`
	Release  string     `json:"version"`
	Engine   string     `json:"engine,omitempty"`  // its pin
	Library  string     `json:"library,omitempty"` // variant and version of libdaguerre
	Go       string     `json:"go"`
	Index    int        `json:"index"` // of the picture in its job
	Files    []fileHash `json:"files"` // the model's
	pipeline.Manifest
}

// newManifest describes one picture. plan is a result for the same request, which need not hold the picture.
func newManifest(lib Library, plan *pipeline.Result, img pipeline.Image, files []fileHash) manifest {
	m := manifest{Software: name, Release: Version(), Go: runtime.Version(), Index: img.Index, Files: files, Manifest: plan.Manifest(img)}
	if lib.Loaded {
		m.Engine, m.Library = lib.Engine, lib.Variant+" "+lib.Version
	}
	if len(files) > 0 && files[0].Role == "model" && (len(files) == 1 || files[1].Role != "model") {
		m.Model.SHA256 = files[0].SHA256
	}
	return m
}

// json returns the manifest as one line.
func (m manifest) json() (string, error) {
	data, err := json.Marshal(m)
	return string(data), err
}
