package command

import (
	"image"
	"os"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/cli/progress"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// previewWriter keeps one file beside each picture that shows how it stands.
type previewWriter struct {
	pictures *pictureWriter
	paths    map[int]string // by the picture's index
	failed   bool           // it was said that previews cannot be written
}

// write writes the previews that a report carries. A preview that cannot be written costs a warning, not the run.
func (w *previewWriter) write(p pipeline.Progress) {
	for i, img := range p.Previews {
		index := p.Indices[i]
		path, err := w.writeOne(index, p.Seeds[i], img)
		if err != nil {
			if !w.failed {
				w.failed = true
				w.pictures.session.report.Report(progress.Warning{Message: "no preview: " + err.Error()})
			}
			continue
		}
		w.pictures.session.report.Report(progress.Preview{Job: w.pictures.job, Index: index, Step: p.Step, Path: path})
	}
}

func (w *previewWriter) writeOne(index int, seed int64, img image.Image) (string, error) {
	s := w.pictures.session
	data, err := imagefile.Encode(img, imagefile.PNG, imagefile.EncodeOptions{})
	if err != nil {
		return "", err
	}
	if path, ok := w.paths[index]; ok {
		return path, s.files.Replace(path, data)
	}
	name, err := w.pictures.pattern.Name(s.values(w.pictures.job, w.pictures.req, index, seed))
	if err != nil {
		return "", err
	}
	path, err := s.files.Write(strings.TrimSuffix(name, filepath.Ext(name))+".preview.png", data)
	if err == nil {
		w.paths[index] = path
	}
	return path, err
}

// remove removes the previews; the pictures are there, or will never be.
func (w *previewWriter) remove() {
	for _, path := range w.paths {
		_ = os.Remove(path) // somebody else may have removed it
	}
}
