package models

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Sources says which models a pipeline computes with, and how each is opened. A model without a file is not used.
type Sources struct {
	Base            backend.ModelConfig
	Refiner         backend.ModelConfig
	RefinerOnDemand bool // the refiner is open only while a job uses it
	TAESD           backend.ModelConfig
	Upscaler        backend.ModelConfig
	Control         backend.ModelConfig // of every ControlNet, but for its file
	Picture         backend.ModelConfig // of every image encoder and IP-Adapter
	ControlBytes    int64               // that ControlNets may hold; 0: DefaultControlBytes
}

// DefaultControlBytes is what ControlNets may hold where nothing is said: three of SDXL's at F16.
const DefaultControlBytes int64 = 8 << 30

// HasRefiner reports whether there is a refiner.
func (s Sources) HasRefiner() bool { return s.Refiner.Files.Model != "" }

// HasTAESD reports whether there is a tiny autoencoder.
func (s Sources) HasTAESD() bool { return s.TAESD.Files.TAESD != "" }

// HasUpscaler reports whether there is an upscaler.
func (s Sources) HasUpscaler() bool { return s.Upscaler.Files.Upscaler != "" }

// NetOf is how a net of a role is opened, but for its file.
func (s Sources) NetOf(role string) backend.ModelConfig {
	switch role {
	case "controlnet":
		return s.Control
	case "detector": // small, and its boxes are the same in every precision of the model
		cfg := s.Picture
		cfg.Precision, cfg.UNetType = backend.PrecisionF32, ""
		return cfg
	}
	return s.Picture
}

// CheckFiles reads the small networks, so that a wrong or damaged file is an error before the base is loaded. It keeps their tables of
// weights: if a file has changed when its network is opened, it is refused. It returns warnings for the user.
func (s *Sources) CheckFiles(ctx context.Context) (warnings []string, err error) {
	for _, cfg := range []*backend.ModelConfig{&s.TAESD, &s.Upscaler} {
		named := cfg.Files.Named()
		if len(named) == 0 {
			continue
		}
		if err := CheckNetwork(ctx, named[0].Role, cfg); err != nil {
			return nil, err
		}
		warnings = append(warnings, cfg.Table.Warnings...)
	}
	return warnings, nil
}

// CheckNetwork reads the one file of a small network, "taesd" or "upscaler", and sets cfg.Table. A file for another role, or with a weight
// that is not finite, is an error.
func CheckNetwork(ctx context.Context, role string, cfg *backend.ModelConfig) error {
	if err := CheckRole(role, cfg.Files.Named()[0].Path); err != nil {
		return err
	}
	m, err := modelfile.ReadModel(cfg.Files)
	if err != nil {
		return err
	}
	if cfg.Table, err = m.Table(); err != nil {
		return err
	}
	if err := modelfile.CheckFinite(ctx, cfg.Table); err != nil {
		return fmt.Errorf("%s: %w", role, err)
	}
	return nil
}

// Fileless reports whether a backend needs no model files, as backend/fake.
func Fileless(b backend.Backend) bool {
	f, ok := b.(interface{ Fileless() bool })
	return ok && f.Fileless()
}

// Component is what a model says of one of its components.
func Component(info backend.ModelInfo, name string) (backend.ComponentInfo, bool) {
	for _, c := range info.Components {
		if c.Name == name {
			return c, true
		}
	}
	return backend.ComponentInfo{}, false
}

// DeviceOf is the device that the UNet is on.
func DeviceOf(info backend.ModelInfo) string {
	unet, _ := Component(info, "unet")
	return cmp.Or(unet.Device, "cpu")
}

// Name is what a model is called: its file's or folder's name without path and extension.
func Name(path string) string {
	if path == "" {
		return ""
	}
	base := filepath.Base(path)
	if ext := filepath.Ext(base); slices.Contains(extensions, strings.ToLower(ext)) {
		return strings.TrimSuffix(base, ext)
	}
	return base
}

// extensions are the endings of the names of files of weights, in the order of preference.
var extensions = []string{".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin"}
