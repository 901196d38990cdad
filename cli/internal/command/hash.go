package command

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// fileHash identifies one model file in a picture's manifest.
type fileHash struct {
	Role   string `json:"role"` // "model", "unet", "text_encoder", "text_encoder_2", "vae"
	Name   string `json:"name"` // without its folder; inside a diffusers folder, the path from there
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256"`
}

func hashModel(ctx context.Context, m request.Model) ([]fileHash, error) {
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
		files, err := weightFiles(f.path)
		if err != nil {
			return nil, err
		}
		for _, path := range files {
			h := fileHash{Role: f.role, Name: filepath.Base(path)}
			if rel, err := filepath.Rel(f.path, path); err == nil && rel != "." {
				h.Name = filepath.ToSlash(rel)
			}
			info, err := os.Stat(path)
			if err == nil {
				h.Bytes = info.Size()
				h.SHA256, err = pipeline.HashFile(ctx, path)
			}
			if err != nil {
				return nil, fmt.Errorf("hashing a model file: %w", err)
			}
			out = append(out, h)
		}
	}
	return out, nil
}

// weightFiles returns the weight files of a path: itself, or those of a diffusers folder.
func weightFiles(path string) ([]string, error) {
	if !modelfile.IsFolder(path) {
		return []string{path}, nil
	}
	folder, err := modelfile.FolderFiles(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, c := range folder.Components {
		files = append(files, c.Files...)
	}
	return files, nil
}
