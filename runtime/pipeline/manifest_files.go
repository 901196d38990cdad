package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// usedFiles lists the files of weights that a prepared request is computed with.
func (p *Pipeline) usedFiles(prep *prepare.Prepared) (out []manifestFile) {
	add := func(key, path string, id identity.ID) {
		if path != "" && !id.IsZero() {
			out = append(out, manifestFile{Key: key, Name: filepath.Base(path), file: loraFile{path, id.Key()}})
		}
	}
	now := func(key, path string) {
		if id, err := identity.Of(path); err == nil && path != "" {
			add(key, path, id)
		}
	}
	r := &prep.Request
	if prep.Refines {
		now("model.refiner", p.config.Refiner)
	}
	if r.Hires.On() && r.Hires.Upscaler == request.UpscaleModel {
		now("model.upscaler", p.config.Upscaler)
	}
	if p.config.FastDecode {
		now("model.taesd", p.config.TAESD)
	}
	for i, c := range prep.Controls {
		add(fmt.Sprintf("controlnet[%d].model", i), c.Path, c.ID)
	}
	for i, a := range prep.IPAdapters {
		add(fmt.Sprintf("ip_adapter[%d].model", i), a.Path, a.ID)
		add(fmt.Sprintf("ip_adapter[%d].image_encoder", i), a.Encoder, a.EncoderID)
	}
	for i, d := range prep.Details {
		if d.Finder != nil {
			add(fmt.Sprintf("detail[%d].detector", i), d.Finder.Path, d.Finder.ID)
		}
	}
	for _, path := range prep.Embeddings {
		now("embedding", path)
	}
	return out
}

// HashFiles fills in the sums of the files that the request names, which it reads for that the first time: adapters, ControlNets and
// others. Manifests then have them. A folder has no sum.
func (r *Result) HashFiles(ctx context.Context) error {
	if r.model == nil {
		return nil
	}
	h := &r.model.sums
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sums == nil {
		h.sums = map[loraFile]adapters.Hashes{}
	}
	for i := range r.LoRAs {
		l := &r.LoRAs[i]
		sums, err := h.of(l.file, func() (adapters.Hashes, error) { return adapters.Hash(ctx, l.file.path) })
		if err != nil {
			return fmt.Errorf("hashing the adapter %q: %w", l.Name, err)
		}
		l.SHA256, l.AutoV3 = sums.SHA256, sums.AutoV3
	}
	for i := range r.files {
		f := &r.files[i]
		sums, err := h.of(f.file, func() (adapters.Hashes, error) {
			sum, err := HashFile(ctx, f.file.path)
			return adapters.Hashes{SHA256: sum}, err
		})
		if err != nil && !errors.Is(err, ErrNoHash) {
			return fmt.Errorf("hashing the file of %s: %w", f.Key, err)
		}
		f.SHA256 = sums.SHA256
	}
	return nil
}

// of is a file's sum, which is computed if it is not known. A file that has changed since it was found is an error. The lock is held.
func (h *loraHashes) of(file loraFile, compute func() (adapters.Hashes, error)) (adapters.Hashes, error) {
	if sums, ok := h.sums[file]; ok {
		return sums, nil
	}
	sums, err := compute()
	if err == nil {
		err = file.id.Check(file.path)
	}
	if err != nil {
		return adapters.Hashes{}, err
	}
	h.sums[file] = sums
	return sums, nil
}

// inputSums describes the pictures and arrays of a request whose inputs were read.
func inputSums(r request.Request) (out []manifestInput) {
	r.Inputs(func(key string, p *request.Picture) {
		if p.Image != nil {
			out = append(out, manifestInput{Key: key, Name: baseName(p.Path), Sum: picture.Sum(p.Image)})
		}
	}, func(key string, a *request.Array) {
		if a.Data != nil {
			out = append(out, manifestInput{Key: key, Name: baseName(a.Path), Sum: npy.Array{Shape: a.Shape, Data: a.Data}.Sum()})
		}
	})
	return out
}

func baseName(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Base(path)
}

// pixelKeys are the keys of [model] that can change a picture besides the files and the precision, which a manifest has by themselves.
var pixelKeys = []string{"text_device", "vae_device", "type", "unet_type", "text_type", "vae_type", "refiner_type", "fast_decode",
	"flash_attention", "convolution", "vae_tiling", "vae_tile_size", "vae_tile_overlap"}

// settings are the keys of [model] that can change a picture and do not have their default, and what memory made of them.
func (cfg Config) settings(s memory.Strategy) map[string]any {
	out := map[string]any{}
	v := reflect.ValueOf(cfg.model())
	for _, f := range reflect.VisibleFields(v.Type()) {
		key, value := f.Tag.Get("key"), v.FieldByIndex(f.Index)
		for _, known := range pixelKeys {
			if key != known {
				continue
			}
			if value.Kind() == reflect.Pointer {
				value = value.Elem()
			}
			if !value.IsZero() && fmt.Sprint(value) != "auto" {
				out[key] = value.Interface()
			}
		}
	}
	if s.Tiling {
		out["vae_tiling"] = "on"
	}
	if s.AttentionSlicing {
		out["memory"] = map[string]any{"attention_slicing": true}
	}
	return out
}
