package command

import (
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/service"
)

// previewWriter keeps one file beside each picture that shows how it stands.
type previewWriter struct {
	report progress.Reporter
	files  output.Writer

	mu     sync.Mutex
	paths  map[[2]int]string // by job and index
	failed bool              // it was said that previews cannot be written
}

// write writes a preview. One that cannot be written costs a warning, not the run.
func (w *previewWriter) write(p service.Preview) {
	w.mu.Lock()
	defer w.mu.Unlock()
	path, err := w.writeOne(p)
	switch {
	case err == nil:
		w.report.Report(progress.Preview{Job: p.Job, Index: p.Index, Step: p.Step, Path: path})
	case !w.failed:
		w.failed = true
		w.report.Report(progress.Warning{Message: "no preview: " + err.Error()})
	}
}

func (w *previewWriter) writeOne(p service.Preview) (string, error) {
	data, err := imagefile.Encode(p.Image, imagefile.PNG, imagefile.EncodeOptions{})
	if err != nil {
		return "", err
	}
	key := [2]int{p.Job, p.Index}
	if path, ok := w.paths[key]; ok {
		return path, w.files.Replace(path, data)
	}
	path, err := w.files.Write(strings.TrimSuffix(p.Name, filepath.Ext(p.Name))+".preview.png", data)
	if err == nil {
		w.paths[key] = path
	}
	return path, err
}

// remove removes a job's previews; the pictures are there, or will never be.
func (w *previewWriter) remove(job int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, path := range w.paths {
		if key[0] == job {
			_ = os.Remove(path) // somebody else may have removed it
			delete(w.paths, key)
		}
	}
}
