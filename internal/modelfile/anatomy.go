package modelfile

import (
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Layout names a convention for tensor names.
type Layout string

// The layouts. LayoutOriginal is that of Stability AI's generative-models (input_blocks, OpenCLIP's
// resblocks); LayoutDiffusers is that of diffusers and transformers.
const (
	LayoutOriginal  Layout = "original"
	LayoutDiffusers Layout = "diffusers"
	LayoutMixed     Layout = "mixed"
	LayoutKohya     Layout = "kohya" // of LoRA files
)

// Dims holds every dimension of a model; absent components are nil.
type Dims struct {
	UNet         *UNetDims `json:"unet,omitempty"`
	VAE          *VAEDims  `json:"vae,omitempty"`
	TextEncoder  *TextDims `json:"text_encoder,omitempty"`
	TextEncoder2 *TextDims `json:"text_encoder_2,omitempty"`

	ControlNet *ControlNetDims `json:"controlnet,omitempty"`
	TAESD      *TAESDDims      `json:"taesd,omitempty"`
	Upscaler   *UpscalerDims   `json:"upscaler,omitempty"`

	ImageEncoder *ImageEncoderDims `json:"image_encoder,omitempty"`
	IPAdapter    *IPAdapterDims    `json:"ip_adapter,omitempty"`
	Detector     *DetectorDims     `json:"detector,omitempty"`
}

// dims are one component's dimensions.
type dims interface {
	// specs adds every tensor of the component, in the order of the computation.
	specs(b *specs)
	// lacks says what specs needs and does not have; "" if nothing.
	lacks() string
}

// anatomy is what is known of one kind of component. A new component is one more of these.
type anatomy struct {
	component string
	of        func(d *Dims) dims               // nil if the model has no such component
	infer     func(p *part, d *Dims)           // reads the dimensions off the shapes
	locate    func(t *table) *part             // finds it among the tensors of a file; nil for text encoders, see locateTexts
	seek      func(t *table) *part             // finds it with a tensor missing, where nothing else was found; may be nil
	halves    bool                             // an autoencoder, whose encoder and decoder are components of a backend
	alone     func(*part, Dims) (Kind, string) // of what is a file of its own: its kind, and why it is not supported
}

// anatomies lists the components.
var anatomies = []anatomy{
	known("unet", func(d *Dims) **UNetDims { return &d.UNet }, inferUNet, anatomy{locate: locateUNet}),
	known("vae", func(d *Dims) **VAEDims { return &d.VAE }, inferVAE, anatomy{locate: locateVAE, halves: true}),
	known("text_encoder", func(d *Dims) **TextDims { return &d.TextEncoder }, inferText, anatomy{}),
	known("text_encoder_2", func(d *Dims) **TextDims { return &d.TextEncoder2 }, inferText, anatomy{}),
	known("controlnet", func(d *Dims) **ControlNetDims { return &d.ControlNet }, inferControlNet,
		anatomy{locate: locateControlNet, alone: controlKind}),
	known("taesd", func(d *Dims) **TAESDDims { return &d.TAESD }, inferTAESD,
		anatomy{locate: locateTAESD, seek: seekTAESD, alone: kindOf(KindTAESD), halves: true}),
	known("upscaler", func(d *Dims) **UpscalerDims { return &d.Upscaler }, inferUpscaler,
		anatomy{locate: locateUpscaler, seek: seekUpscaler, alone: kindOf(KindUpscaler)}),
	known("image_encoder", func(d *Dims) **ImageEncoderDims { return &d.ImageEncoder }, inferImageEncoder,
		anatomy{locate: locateImageEncoder, alone: kindOf(KindImageEncoder)}),
	known("ip_adapter", func(d *Dims) **IPAdapterDims { return &d.IPAdapter }, inferIPAdapter,
		anatomy{locate: locateIPAdapter, alone: ipAdapterKind}),
	known("detector", func(d *Dims) **DetectorDims { return &d.Detector }, inferDetector,
		anatomy{locate: locateDetector, alone: detectorKind}),
}

// known completes an anatomy by where Dims keeps the dimensions.
func known[T any, P interface {
	*T
	dims
}](component string, field func(d *Dims) *P, infer func(p *part) P, a anatomy) anatomy {
	a.component = component
	a.of = func(d *Dims) dims {
		if p := *field(d); p != nil {
			return p
		}
		return nil
	}
	a.infer = func(p *part, d *Dims) { *field(d) = infer(p) }
	return a
}

func kindOf(k Kind) func(*part, Dims) (Kind, string) {
	return func(*part, Dims) (Kind, string) { return k, "" }
}

// anatomyOf returns what is known of a component; false for an unknown one.
func anatomyOf(component string) (anatomy, bool) {
	for _, a := range anatomies {
		if a.component == component {
			return a, true
		}
	}
	return anatomy{}, false
}

// of returns the dimensions of a component; nil if there are none.
func (d *Dims) of(component string) dims {
	if a, ok := anatomyOf(component); ok {
		return a.of(d)
	}
	return nil
}

// Specs lists every tensor of one component in the given layout, in the order of the computation, or
// nil if the model has no such component or its dimensions are incomplete.
func (d Dims) Specs(component string, layout Layout) []Spec {
	return newSpecs(component, layout).of(d)
}

func newSpecs(component string, layout Layout) *specs {
	b := &specs{component: component, diffusers: layout == LayoutDiffusers}
	b.openCLIP = component == "text_encoder_2" && !b.diffusers
	return b
}

func (b *specs) of(d Dims) []Spec {
	if c := d.of(b.component); c != nil && c.lacks() == "" {
		c.specs(b)
	}
	return b.list
}

// infer reads every dimension off the shapes. What is missing stays zero.
func infer(parts []*part) Dims {
	var d Dims
	for _, p := range parts {
		if a, ok := anatomyOf(p.component); ok {
			a.infer(p, &d)
		}
	}
	return d
}

// backendComponent is the component of a backend that a tensor belongs to, by its canonical name.
func backendComponent(component, canonical string) string {
	if a, ok := anatomyOf(component); !ok || !a.halves {
		return component
	}
	rest := strings.TrimPrefix(canonical, component+".")
	if strings.HasPrefix(rest, "decoder.") || strings.HasPrefix(rest, "post_quant_conv.") {
		return "vae_decoder"
	}
	return "vae_encoder"
}

// Role says what a tensor does, which is what its initial values depend on.
type Role int

// The roles.
const (
	RoleWeight      Role = iota // a matrix or convolution kernel
	RoleResidual                // the last matrix of a residual branch
	RoleOut                     // the model's last convolution
	RoleBias                    // zero at first
	RoleNorm                    // a norm's gain, one at first
	RoleEmbedding               // token embeddings
	RolePosition                // position embeddings
	RoleLogitScale              // OpenCLIP's temperature, a scalar SDXL does not use
	RolePositionIDs             // 0, 1, 2, ... as I64
	RoleBins                    // 0, 1, 2, ...
	RoleMean                    // of a batch norm
	RoleVariance                // of a batch norm
)

// Spec is a tensor that an architecture has.
type Spec struct {
	Component string // "unet", "vae", "text_encoder", "text_encoder_2", "controlnet", "taesd", "upscaler", "image_encoder", "ip_adapter",
	// "detector"
	Name     string // without the component's prefix
	Shape    []int64
	Role     Role
	Optional bool        // not needed to compute
	Use      backend.Use // of what is needed
	// Canonical is what backends and adapters call the tensor, or its parts; nil for one that computing does not need.
	Canonical []CanonicalPart

	aliases []string // other names under which it occurs
}

// CanonicalPart is a tensor under the name that adapters and the backend know it by: diffusers', with the component, and for text
// encoders "text_model.", before it. OpenCLIP's files keep q, k and v in one tensor, and one projection transposed.
type CanonicalPart struct {
	Name        string // "unet.conv_in.weight", "text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj.bias"
	Part, Parts int    // it is the Part-th of so many equal runs of rows
	Transpose   bool   // the file holds its transpose
}

// CanonicalTensor is the canonical name of a tensor of diffusers' layout, as Specs lists them.
func CanonicalTensor(component, name string) string {
	if strings.HasPrefix(component, "text_encoder") && name != projection {
		name = "text_model." + name
	}
	return component + "." + name
}

// FanIn returns the number of inputs of one output: the product of all dimensions but the first.
func (s Spec) FanIn() int64 {
	if len(s.Shape) < 2 {
		return 1
	}
	n, _ := product(s.Shape[1:])
	return n
}

// specs collects tensors. Its helpers take names as pairs.
type specs struct {
	component string
	diffusers bool
	openCLIP  bool // a text encoder with OpenCLIP's names
	list      []Spec
}

// pair is a tensor's name, or a piece of one: in the layout asked for, and as diffusers calls it.
type pair struct{ file, canonical string }

// pick returns the pair of a name in both layouts.
func (b *specs) pick(original, diffusers string) pair {
	if b.diffusers {
		return pair{diffusers, diffusers}
	}
	return pair{original, diffusers}
}

// both is a name that all layouts have.
func both(name string) pair { return pair{name, name} }

// and appends a piece that all layouts have.
func (p pair) and(tail string) pair { return pair{p.file + tail, p.canonical + tail} }

// or appends one of two pieces.
func (b *specs) or(p pair, original, diffusers string) pair {
	tail := b.pick(original, diffusers)
	return pair{p.file + tail.file, p.canonical + tail.canonical}
}

func (b *specs) add(name pair, role Role, use backend.Use, shape ...int) *Spec {
	s := Spec{Component: b.component, Name: name.file, Role: role, Use: use, Shape: make([]int64, len(shape)),
		Canonical: []CanonicalPart{{Name: CanonicalTensor(b.component, name.canonical), Parts: 1}}}
	for i, d := range shape {
		s.Shape[i] = int64(d)
	}
	b.list = append(b.list, s)
	return &b.list[len(b.list)-1]
}

// optional adds a tensor that computing does not need.
func (b *specs) optional(name string, role Role, shape ...int) {
	s := b.add(both(name), role, "", shape...)
	s.Optional, s.Canonical = true, nil
}

func (b *specs) bias(name pair, n int) *Spec {
	return b.add(name.and(".bias"), RoleBias, backend.UseVector, n)
}

func (b *specs) norm(name pair, width int) {
	b.add(name.and(".weight"), RoleNorm, backend.UseVector, width)
	b.bias(name, width)
}

func (b *specs) matrix(name pair, role Role, use backend.Use, in, out int) {
	b.add(name.and(".weight"), role, use, out, in)
	b.bias(name, out)
}

func (b *specs) linear(name pair, role Role, in, out int) {
	b.matrix(name, role, backend.UseMatrix, in, out)
}

// sensitive is a linear layer that is never quantized.
func (b *specs) sensitive(name pair, in, out int) {
	b.matrix(name, RoleWeight, backend.UseSensitive, in, out)
}

func (b *specs) conv(name pair, role Role, in, out, kernel int) {
	b.add(name.and(".weight"), role, backend.UseConv, out, in, kernel, kernel)
	b.bias(name, out)
}

// pointwise is a convolution of one pixel that the backend computes as a linear layer.
func (b *specs) pointwise(name pair, role Role, use backend.Use, in, out int) {
	b.add(name.and(".weight"), role, use, out, in, 1, 1)
	b.bias(name, out)
}

// also gives the module that was added last another name.
func (b *specs) also(name string) {
	n := len(b.list)
	b.list[n-2].aliases = []string{name + ".weight"}
	b.list[n-1].aliases = []string{name + ".bias"}
}
