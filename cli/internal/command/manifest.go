package command

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
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

// fileHash identifies one model file in a picture's manifest.
type fileHash struct {
	Role   string `json:"role"` // "model", "unet", "text_encoder", "text_encoder_2", "vae"
	Name   string `json:"name"` // without its folder; inside a diffusers folder, the path from there
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256"`

	Source *pipeline.Source `json:"source,omitempty"` // of a file that was fetched by name
}

// hashModel computes the sums of a model's files. opened has their identities from when the model was opened. A file that has changed since
// gets no sum: the pictures were not made with it.
func hashModel(ctx context.Context, m request.Model, opened []backend.TableFile) ([]fileHash, error) {
	unchanged := func(path string) error {
		i := slices.IndexFunc(opened, func(f backend.TableFile) bool { return f.Path == path })
		if i < 0 {
			return nil
		}
		return opened[i].Identity.Check(path)
	}

	var out []fileHash
	for _, f := range []struct{ role, path string }{{"model", m.Model}, {"unet", m.UNet}, {"text_encoder", m.TextEncoder},
		{"text_encoder_2", m.TextEncoder2}, {"vae", m.VAE}} {
		if f.path == "" {
			continue
		}
		if f.role == "model" && f.path == pipeline.NanoModel {
			out = append(out, fileHash{Role: f.role, Name: pipeline.NanoModel, SHA256: nano.BaseSHA256()})
			continue
		}
		files, err := weightFiles(f.role, f.path)
		if err != nil {
			return nil, err
		}
		for _, path := range files {
			h := fileHash{Role: f.role, Name: filepath.Base(path), Source: pipeline.SourceOf(path)}
			if rel, err := filepath.Rel(f.path, path); err == nil && rel != "." {
				h.Name = filepath.ToSlash(rel)
			}
			info, err := os.Stat(path)
			if err == nil {
				h.Bytes = info.Size()
				h.SHA256, err = pipeline.HashFile(ctx, path)
			}
			if err == nil {
				err = unchanged(path)
			}
			if err != nil {
				return nil, fmt.Errorf("hashing a model file: %w", err)
			}
			out = append(out, h)
		}
	}
	return out, nil
}

// weightFiles returns the weight files of a path: the file itself, or the files of a diffusers folder that its role uses.
func weightFiles(role, path string) ([]string, error) {
	if !modelfile.IsFolder(path) {
		return []string{path}, nil
	}
	folder, err := modelfile.FolderFilesOf(role, path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, c := range folder.Components {
		files = append(files, c.Files...)
	}
	return files, nil
}

// pictureTexts makes the texts of PNG files. A model's files are hashed once, beside the first picture.
type pictureTexts struct {
	env  Env
	warn func(text string) // nil: nobody is told

	mu     sync.Mutex
	models map[string]*fileHashes // by a model's files
}

// fileHashes are the sums of a model's files, which are being computed.
type fileHashes struct {
	done   chan struct{}
	cancel context.CancelFunc
	files  []fileHash
	err    error
	told   sync.Once // that they could not be computed
}

// begin begins to hash a model's files where that was not done yet.
func (t *pictureTexts) begin(m request.Model, opened []backend.TableFile) *fileHashes {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := fmt.Sprintf("%q %v", []string{m.Model, m.UNet, m.TextEncoder, m.TextEncoder2, m.VAE}, opened)
	if h := t.models[key]; h != nil {
		return h
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &fileHashes{done: make(chan struct{}), cancel: cancel}
	if t.models == nil {
		t.models = map[string]*fileHashes{}
	}
	t.models[key] = h
	go func() {
		defer close(h.done)
		h.files, h.err = hashModel(ctx, m, opened)
	}()
	return h
}

// stop ends what is being computed and waits for its end.
func (t *pictureTexts) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.models {
		h.cancel()
		<-h.done
	}
}

// of returns the texts of a picture: a picture without its model's hash is better than none.
func (t *pictureTexts) of(ctx context.Context, m request.Model, plan *pipeline.Result, img pipeline.Image) ([]imagefile.Text, error) {
	h := t.begin(m, plan.ModelFiles())
	select {
	case <-h.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t.warn != nil && h.err != nil {
		h.told.Do(func() { t.warn("pictures will not name the model by its hash: " + h.err.Error()) })
	}
	err := plan.HashFiles(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if t.warn != nil && err != nil {
		t.warn("the picture will not name all adapters by their hashes: " + err.Error())
	}
	man := newManifest(t.env.Native.Library(), plan, img, h.files)
	text, err := man.json()
	return []imagefile.Text{{Keyword: "parameters", Value: a1111Parameters(man)}, {Keyword: "daguerre", Value: text}}, err
}

// needHashes reports whether any job's pictures name the model's files by their hashes.
func needHashes(jobs []request.Request) bool {
	return slices.ContainsFunc(jobs, func(job request.Request) bool {
		format, err := imagefile.FormatOf(service.OutputOf(job))
		return err == nil && service.HasText(job, format)
	})
}
