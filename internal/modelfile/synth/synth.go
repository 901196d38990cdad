// Package synth writes checkpoints with random weights: SDXL at full size for benchmarks and tests
// without a download, and very small models for unit tests. The tensors, names and shapes are those of
// the real models; the weights are drawn so that activations stay finite in F16. Pictures made with them
// mean nothing.
//
// Files are streamed (memory use does not depend on the model's size) and appear under their name only
// when complete. The same kind, dimensions, type and seed give the same bytes on every machine; every
// layout and file format of them holds the same weights.
package synth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/disk"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
)

// Errors for errors.Is.
var (
	// ErrOptions: an option has a value that cannot be used.
	ErrOptions = errors.New("bad synth options")
	// ErrSpace: the disk has too little room.
	ErrSpace = writer.ErrSpace
)

// Kind names what to write.
type Kind string

// The kinds. KindUNet, KindTextEncoder and KindTextEncoder2 are SDXL base's components by themselves.
const (
	KindSDXLBase     Kind = "sdxl-base"
	KindSDXLRefiner  Kind = "sdxl-refiner"
	KindSDXLInpaint  Kind = "sdxl-inpaint"
	KindVAE          Kind = "vae"
	KindUNet         Kind = "unet"
	KindTextEncoder  Kind = "text_encoder"
	KindTextEncoder2 Kind = "text_encoder_2"
	KindControlNet   Kind = "sdxl-controlnet"
	KindUnion        Kind = "sdxl-controlnet-union"
	KindT2I          Kind = "sdxl-t2i-adapter"
	KindControlXS    Kind = "sdxl-controlnet-xs"
	KindTAESD        Kind = "taesd"
	KindESRGAN       Kind = "esrgan"
	KindYOLOv8       Kind = "yolov8n"
	KindNanoYOLOv8   Kind = "nano-yolov8"
	KindSDXLLoRA     Kind = "sdxl-lora"
	KindNanoLoRA     Kind = "nano-lora"
	KindNano         Kind = "nano"
	KindNanoRefiner  Kind = "nano-refiner"
	KindNanoControl  Kind = "nano-controlnet"
	KindNanoUnion    Kind = "nano-controlnet-union"
	KindNanoT2I      Kind = "nano-t2i-adapter"
	KindNanoXS       Kind = "nano-controlnet-xs"
	KindNanoXSTime   Kind = "nano-controlnet-xs-time" // with a time embedding of its own, and widths that no number of heads divides

	KindViTH         Kind = "clip-vit-h"
	KindViTBigG      Kind = "clip-vit-bigg"
	KindIPAdapter    Kind = "sdxl-ip-adapter" // of ViT-bigG
	KindIPAdapterH   Kind = "sdxl-ip-adapter-vit-h"
	KindIPPlus       Kind = "sdxl-ip-adapter-plus" // of ViT-H
	KindNanoImage    Kind = "nano-image-encoder"
	KindNanoIP       Kind = "nano-ip-adapter"
	KindNanoIPPlus   Kind = "nano-ip-adapter-plus"
	KindNanoFace     Kind = "nano-ip-adapter-faceid"
	KindNanoFacePlus Kind = "nano-ip-adapter-faceid-plus"
)

// Kinds lists every Kind.
var Kinds = []Kind{KindSDXLBase, KindSDXLRefiner, KindSDXLInpaint, KindVAE, KindUNet, KindTextEncoder, KindTextEncoder2,
	KindControlNet, KindUnion, KindT2I, KindControlXS, KindTAESD, KindESRGAN, KindYOLOv8, KindNanoYOLOv8,
	KindSDXLLoRA, KindNano, KindNanoLoRA, KindNanoRefiner, KindNanoControl,
	KindNanoUnion, KindNanoT2I, KindNanoXS, KindNanoXSTime,
	KindViTH, KindViTBigG, KindIPAdapter, KindIPAdapterH, KindIPPlus, KindNanoImage, KindNanoIP, KindNanoIPPlus,
	KindNanoFace,
	KindNanoFacePlus}

// Format names the file to write.
type Format string

// The formats; FormatAuto goes by the extension: .gguf, .ckpt or .pt, else safetensors.
const (
	FormatAuto        Format = ""
	FormatSafetensors Format = "safetensors"
	FormatGGUF        Format = "gguf"
	FormatTorch       Format = "torch" // torch.save's zip
)

// Options say what to write. Only Kind is needed.
type Options struct {
	Kind   Kind
	Type   modelfile.DType   // F16 (the default), F32 or BF16
	Dims   *modelfile.Dims   // instead of the kind's own, for small models; absent components are not written
	Config *modelfile.Config // for metadata and config files; nil: the kind's own
	Layout modelfile.Layout  // LayoutOriginal (the default) or LayoutDiffusers, for single files
	Format Format
	Seed   uint64
	Rank   int // of an adapter; 0: DefaultRank
	// Variant is put into the file names of WriteFolder, as in "fp16".
	Variant string
	// Progress, if not nil, is told the bytes written so far and in all, about every 4 MiB.
	Progress func(done, total int64)

	hollow bool
}

// item is one tensor to write.
type item struct {
	modelfile.Spec
	full   string // name in the file
	dtype  modelfile.DType
	size   int64
	key    uint64 // of its stream of random numbers
	offset int64  // of its first element in that stream
	// transpose: the stream holds the matrix the other way round
	transpose bool
}

// Size returns the bytes of tensor data that Write would write for opt.
func Size(opt Options) (int64, error) {
	p, err := newPlan(opt)
	if err != nil {
		return 0, err
	}
	return total(p.all()), nil
}

// Write writes one file. Cancelling ctx stops it within a few megabytes and leaves nothing behind; the
// error is then ctx.Err().
func Write(ctx context.Context, path string, opt Options) error {
	p, err := newPlan(opt)
	if err != nil {
		return err
	}
	items := p.all()
	format := opt.Format
	if format == FormatAuto {
		format = formatOf(path)
	}
	meta, err := p.metadata()
	if err != nil {
		return err
	}
	f := &filler{ctx: ctx, seed: opt.Seed, progress: opt.Progress, hollow: opt.hollow}
	write := func(w io.Writer) error { return writeFile(w, modelfile.Format(format), items, meta, f) }
	switch format {
	case FormatSafetensors:
	case FormatGGUF:
		items = slices.DeleteFunc(items, func(i item) bool { return i.Optional })
	case FormatTorch:
		write = func(w io.Writer) error { return writeTorch(w, items, meta, f) }
	default:
		return fmt.Errorf("%w: format %q; known are %q, %q and %q", ErrOptions, format, FormatSafetensors, FormatGGUF, FormatTorch)
	}
	f.total = total(items)
	need := f.total
	if opt.hollow {
		need = 0
	}
	if err := disk.CheckSpace(filepath.Dir(path), need); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return writer.Atomically(path, write, nil)
}

func formatOf(path string) Format {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".ckpt", ".pt", ".pth", ".bin":
		return FormatTorch
	}
	return Format(writer.FormatOf(path))
}

func total(items []item) int64 {
	var n int64
	for _, i := range items {
		n += i.size
	}
	return n
}

// plan is Options with everything decided.
type plan struct {
	opt    Options
	dims   modelfile.Dims
	config modelfile.Config
}

func newPlan(opt Options) (*plan, error) {
	p := &plan{opt: opt, dims: modelfile.Preset(string(opt.Kind))}
	p.opt.Type, p.opt.Rank = cmp.Or(opt.Type, modelfile.F16), cmp.Or(opt.Rank, DefaultRank)
	p.opt.Layout = cmp.Or(opt.Layout, modelfile.LayoutOriginal)
	if !slices.Contains([]modelfile.DType{modelfile.F16, modelfile.F32, modelfile.BF16}, p.opt.Type) {
		return nil, fmt.Errorf("%w: type %q; known are F16, F32 and BF16", ErrOptions, opt.Type)
	}
	if p.opt.Rank < 1 || p.opt.Rank > maxRank {
		return nil, fmt.Errorf("%w: rank %d; it must be between 1 and %d", ErrOptions, opt.Rank, maxRank)
	}
	if p.opt.Layout != modelfile.LayoutOriginal && p.opt.Layout != modelfile.LayoutDiffusers {
		return nil, fmt.Errorf("%w: layout %q; known are original and diffusers", ErrOptions, opt.Layout)
	}
	if !slices.Contains(Kinds, opt.Kind) {
		return nil, fmt.Errorf("%w: kind %q; known are %q", ErrOptions, opt.Kind, Kinds)
	}
	if opt.Dims != nil {
		p.dims = *opt.Dims
	}
	p.config = p.defaultConfig()
	if opt.Config != nil {
		p.config = *opt.Config
	}
	return p, nil
}

// defaultConfig: SDXL's own values need not be stated; the nano models' do.
func (p *plan) defaultConfig() modelfile.Config {
	var c modelfile.Config
	switch p.opt.Kind {
	case KindControlXS, KindNanoXS, KindNanoXSTime:
		c.ControlXS = xsConfig(p.opt.Kind)
	case KindNanoControl, KindNanoUnion:
		c.UNet.NormNumGroups = 4
	case KindNano, KindNanoRefiner:
		no, guidance, zeros := false, 5.0, p.opt.Kind == KindNano // as SDXL's base and refiner say
		c.UNet.NormNumGroups, c.VAE.NormNumGroups = 4, 2
		c.VAE.ScalingFactor, c.VAE.ForceUpcast = 0.6, &no
		c.TextEncoder.HiddenAct, c.TextEncoder2.HiddenAct = "quick_gelu", "gelu"
		c.Default = modelfile.DefaultConfig{Width: 128, Height: 128, NumInferenceSteps: 20, GuidanceScale: &guidance}
		c.ForceZerosForEmptyPrompt = &zeros
	}
	return c
}

// architectures are what the metadata of published files call them.
var architectures = map[Kind]string{KindSDXLBase: "stable-diffusion-xl-v1-base", KindSDXLInpaint: "stable-diffusion-xl-v1-base/inpainting",
	KindSDXLLoRA: "stable-diffusion-xl-v1-base/lora", KindSDXLRefiner: "stable-diffusion-xl-v1-refiner"}

func (p *plan) metadata() (map[string]string, error) {
	m := map[string]string{"format": "pt", "daguerre.synthetic": fmt.Sprintf("random weights, seed %d", p.opt.Seed)}
	if a := architectures[p.opt.Kind]; a != "" {
		m["modelspec.architecture"] = a
	}
	if p.opt.Kind == KindSDXLLoRA {
		m["ss_base_model_version"] = "sdxl_base_v1-0"
	}
	text, err := p.config.MarshalMetadata()
	if err == nil && text != "{}" {
		m[modelfile.MetadataKey] = text
	}
	return m, err
}

var components = []string{"text_encoder", "text_encoder_2", "unet", "vae", "controlnet", "taesd", "upscaler",
	"image_encoder", "ip_adapter", "detector"}

// all lists the tensors of a single file.
func (p *plan) all() []item {
	if p.opt.Kind.isLoRA() {
		return p.adapter()
	}
	var list []item
	for _, c := range components {
		list = append(list, p.component(c, p.opt.Layout, p.prefix(c))...)
	}
	return list
}

// prefix is that of a component in a single file; a file of one component has none.
func (p *plan) prefix(component string) string {
	n := 0
	for _, c := range components {
		if p.dims.Specs(c, modelfile.LayoutOriginal) != nil {
			n++
		}
	}
	text := component == "text_encoder" || component == "text_encoder_2" && p.opt.Layout == modelfile.LayoutDiffusers
	prefix := ""
	switch {
	case p.dims.ControlNet != nil && p.dims.ControlNet.T2IAdapter != nil:
		if p.opt.Layout == modelfile.LayoutDiffusers {
			prefix = "adapter."
		}
	case p.dims.ControlNet != nil && p.dims.ControlNet.XS != nil:
	case component == "controlnet" && p.opt.Layout == modelfile.LayoutOriginal:
		prefix = "control_model."
	case n == 1:
	case p.opt.Layout == modelfile.LayoutDiffusers:
		prefix = component + "."
	case component == "unet":
		prefix = "model.diffusion_model."
	case component == "vae":
		prefix = "first_stage_model."
	case component == "text_encoder":
		prefix = "conditioner.embedders.0.transformer."
	case p.dims.TextEncoder == nil: // the refiner's only encoder
		prefix = "conditioner.embedders.0.model."
	default:
		prefix = "conditioner.embedders.1.model."
	}
	if text {
		prefix += "text_model."
	}
	return prefix
}

// component lists one component's tensors under the given prefix. Streams of random numbers are named
// after the original layout, so that both layouts hold equal weights.
func (p *plan) component(name string, layout modelfile.Layout, prefix string) []item {
	required := func(l modelfile.Layout) []modelfile.Spec {
		return slices.DeleteFunc(p.dims.Specs(name, l), func(s modelfile.Spec) bool { return s.Optional })
	}
	original := required(modelfile.LayoutOriginal)
	openCLIP := openCLIPKeys(p.dims)
	var list []item
	next := 0
	for _, s := range p.dims.Specs(name, layout) {
		it := item{Spec: s, full: prefix + s.Name, dtype: p.opt.Type}
		if s.Name == "text_projection.weight" {
			it.full = strings.TrimSuffix(prefix, "text_model.") + s.Name
		}
		key := s.Name
		switch {
		case s.Role == modelfile.RolePositionIDs:
			it.dtype = modelfile.I64
		case s.Optional:
		case name == "text_encoder_2" && layout == modelfile.LayoutDiffusers:
			from := openCLIP[s.Canonical[0].Name]
			key, it.offset, it.transpose = from.Name, from.offset, from.transpose
		default:
			key = original[next].Name
			next++
		}
		it.key = hash(name + ":" + key)
		it.size, _ = it.dtype.Bytes(elements(s.Shape), 1)
		list = append(list, it)
	}
	return list
}

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// openCLIPKeys maps canonical names to the tensors of OpenCLIP's layout that hold them.
func openCLIPKeys(d modelfile.Dims) map[string]item {
	keys := map[string]item{}
	for _, s := range d.Specs("text_encoder_2", modelfile.LayoutOriginal) {
		for _, part := range s.Canonical {
			keys[part.Name] = item{Spec: s, offset: int64(part.Part) * elements(s.Shape) / int64(part.Parts), transpose: part.Transpose}
		}
	}
	return keys
}
