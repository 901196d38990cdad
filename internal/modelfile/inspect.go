package modelfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kind says what a file or folder is.
type Kind string

// The kinds. Those from KindSD1 on are recognised in order to say that they are not supported.
const (
	KindUnknown          Kind = "unknown"
	KindSDXLBase         Kind = "sdxl-base"
	KindSDXLRefiner      Kind = "sdxl-refiner"
	KindSDXLInpaint      Kind = "sdxl-inpaint"
	KindUNet             Kind = "unet" // an SDXL UNet by itself
	KindVAE              Kind = "vae"
	KindTextEncoder      Kind = "text-encoder" // one or both
	KindLoRA             Kind = "lora"
	KindControlNet       Kind = "controlnet"
	KindT2IAdapter       Kind = "t2i-adapter"
	KindControlNetXS     Kind = "controlnet-xs"
	KindTAESD            Kind = "taesd"    // a tiny autoencoder
	KindUpscaler         Kind = "upscaler" // ESRGAN
	KindTextualInversion Kind = "textual-inversion"
	KindImageEncoder     Kind = "image-encoder" // CLIP's
	KindIPAdapter        Kind = "ip-adapter"
	KindDetector         Kind = "detector" // YOLOv8
	KindSD1              Kind = "sd1.5"
	KindSD2              Kind = "sd2"
	KindSD3              Kind = "sd3"
	KindFlux             Kind = "flux"
)

// Report describes a model file or a diffusers folder.
type Report struct {
	Path       string            `json:"path"`
	Kind       Kind              `json:"kind"`
	UNetKind   Kind              `json:"unet_kind,omitempty"` // what the UNet is made for, also when it is alone: sdxl-base, sdxl-refiner, sdxl-inpaint
	Layout     Layout            `json:"layout,omitempty"`
	Reason     string            `json:"reason,omitempty"` // why the model is not supported; empty if it is
	Files      []FileReport      `json:"files"`
	Size       int64             `json:"size"` // of all files
	Tensors    int               `json:"tensors"`
	Parameters int64             `json:"parameters"`
	Bytes      int64             `json:"bytes"` // of tensor data
	DTypes     map[DType]int64   `json:"dtypes"`
	Components []ComponentReport `json:"components"`
	Dims       Dims              `json:"dims"`
	Config     Config            `json:"config"`
	Unused     []Unused          `json:"unused,omitempty"` // the tensors that no component computes with
	Metadata   map[string]string `json:"metadata,omitempty"`
	Warnings   []string          `json:"warnings,omitempty"`
	Scaled     *ScaledReport     `json:"scaled_fp8,omitempty"` // nil where nothing is scaled FP8
}

// FileReport is one file of a Report. SHA256 is empty until Report.Hash fills it in.
type FileReport struct {
	Path      string `json:"path"`
	Component string `json:"component,omitempty"` // in a folder
	Format    Format `json:"format"`
	Size      int64  `json:"size"`
	Tensors   int    `json:"tensors"`
	SHA256    string `json:"sha256,omitempty"`
}

// ComponentReport counts one component; tensors of none are under "other".
type ComponentReport struct {
	Name       string          `json:"name"`
	Layout     Layout          `json:"layout,omitempty"`
	Prefix     string          `json:"prefix,omitempty"`
	Tensors    int             `json:"tensors"`
	Parameters int64           `json:"parameters"`
	Bytes      int64           `json:"bytes"`
	DTypes     map[DType]int64 `json:"dtypes"` // number of tensors by type
	Example    string          `json:"example,omitempty"`
}

// Supported reports whether the pipeline can use the file for something.
func (r Report) Supported() bool { return r.Reason == "" }

// Component returns the component of that name.
func (r Report) Component(name string) (ComponentReport, bool) {
	for _, c := range r.Components {
		if c.Name == name {
			return c, true
		}
	}
	return ComponentReport{}, false
}

// Inspect describes a model file or diffusers folder from its headers; no tensor data is read except
// marker scalars. Use Report.Hash for checksums.
func Inspect(path string) (Report, error) {
	s, err := openSource(path)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	return s.report()
}

func (s *source) report() (Report, error) {
	r := Report{Path: s.path, DTypes: map[DType]int64{}, Metadata: map[string]string{}, Dims: s.dims, Scaled: s.scaled}
	for i, f := range s.files {
		r.Files = append(r.Files, FileReport{Path: f.Path, Component: s.owner[i], Format: f.Format, Size: f.Size, Tensors: len(f.Tensors)})
		r.Size += f.Size
		for _, w := range f.Warnings {
			r.Warnings = append(r.Warnings, filepath.Base(f.Path)+": "+w)
		}
		for k, v := range f.Metadata {
			if s.folder != nil {
				k = s.owner[i] + ": " + k
			}
			r.Metadata[k] = v
		}
	}
	var err error
	if r.Config, err = s.config(); err != nil {
		return Report{}, err
	}
	s.count(&r)
	r.Kind, r.UNetKind, r.Reason = s.classify(r.Dims)
	r.Layout = s.layout(r.Kind)
	if r.Unused = s.leftovers(); r.Reason == "" {
		r.Warnings = append(append(r.Warnings, unusedWarnings(r.Unused)...), s.dims.layerWarnings()...)
	}
	return r, nil
}

// count fills in the totals and the components.
func (s *source) count(r *Report) {
	reports := make([]ComponentReport, len(s.parts)+1)
	for i, p := range s.parts {
		reports[i] = ComponentReport{Name: p.component, Layout: p.layout, Prefix: p.prefix}
	}
	reports[len(s.parts)].Name = "other"
	for i, f := range s.files {
		for _, t := range f.Tensors {
			c := &reports[s.belongs(s.owner[i], t.Name)]
			n := t.Elements()
			if c.DTypes == nil {
				c.DTypes, c.Example = map[DType]int64{}, t.Name
			}
			c.Tensors++
			c.Parameters += n
			c.Bytes += t.Size
			c.DTypes[t.DType]++
			r.Tensors++
			r.Parameters += n
			r.Bytes += t.Size
			r.DTypes[t.DType]++
		}
	}
	for _, c := range reports {
		if c.Tensors > 0 {
			r.Components = append(r.Components, c)
		}
	}
}

func (s *source) layout(kind Kind) Layout {
	if kind != KindLoRA {
		return layoutOf(s.parts)
	}
	kohya := func(t Tensor) bool {
		return strings.HasPrefix(t.Name, "lora_") || strings.HasPrefix(t.Name, "lycoris_")
	}
	if slices.ContainsFunc(s.files[0].Tensors, kohya) {
		return LayoutKohya
	}
	return LayoutDiffusers
}

// Hash fills in the SHA-256 of every file, reading each once. Cancelling ctx stops it within a few
// megabytes. progress, if not nil, is told the bytes read so far and in all.
func (r *Report) Hash(ctx context.Context, progress func(done, total int64)) error {
	var done int64
	for i := range r.Files {
		sum, err := HashFile(ctx, r.Files[i].Path, func(n int64) {
			if progress != nil {
				progress(done+n, r.Size)
			}
		})
		if err != nil {
			return err
		}
		r.Files[i].SHA256 = sum
		done += r.Files[i].Size
	}
	return nil
}

// HashFile returns the SHA-256 of a file in hexadecimal.
func HashFile(ctx context.Context, path string, progress func(done int64)) (string, error) {
	f, _, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	for done := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := io.CopyN(h, f, 4<<20)
		if done += n; progress != nil && n > 0 {
			progress(done)
		}
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", withPath(path, err)
		}
	}
}

// IsFolder reports whether path is a directory with a model_index.json or config.json, i.e. one that
// the functions of this package accept in place of a file.
func IsFolder(path string) bool {
	for _, name := range []string{"model_index.json", "config.json"} {
		if st, err := os.Stat(filepath.Join(path, name)); err == nil && st.Mode().IsRegular() {
			return true
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return false
}
