package memory

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// The components of a model, as backend.ComponentInfo names them.
const (
	TextEncoder  = "text_encoder"
	TextEncoder2 = "text_encoder_2"
	UNet         = "unet"
	VAEEncoder   = "vae_encoder"
	VAEDecoder   = "vae_decoder"
	ControlNet   = "controlnet"
	Upscaler     = "upscaler"
)

// Class tells what becomes of a weight in memory.
type Class int

// The classes.
const (
	ClassLinear    Class = iota // a matrix that may be quantized
	ClassSensitive              // a matrix that is small and steers everything: never quantized
	ClassTable                  // embeddings: never quantized
	ClassConv                   // a convolution's kernel: never quantized, padded on a CPU
	ClassVector                 // biases and the weights of norms: F32
)

// Weight is one tensor as the backend will hold it.
type Weight struct {
	Name   string // canonical: "unet.conv_in.weight"
	Class  Class
	In     int64 // columns; input channels of a convolution; the length of a vector
	Out    int64 // rows; output channels; 1 for a vector
	Kernel int64 // side of a convolution's kernel; 0 for others
	File   modelfile.DType
	Bias   bool // a convolution that has a bias in the file; without one the backend makes zeros
}

// Elements is the number of the weight's values.
func (w Weight) Elements() int64 { return w.In * w.Out * max(w.Kernel*w.Kernel, 1) }

// Component is one part of a model.
type Component struct {
	Name    string
	Weights []Weight
}

// Inventory is every weight that a model's files hold and its computations use, by component.
type Inventory struct {
	Components []Component
	Dims       modelfile.Dims // of all files together
}

// Component returns the component of a name, and whether there is one.
func (v Inventory) Component(name string) (Component, bool) {
	for _, c := range v.Components {
		if c.Name == name {
			return c, true
		}
	}
	return Component{}, false
}

// Read reads the headers of a model's files. No weight is read. Errors are modelfile's.
func Read(files backend.Files) (Inventory, error) {
	r := reader{found: map[string]map[string]Weight{}, order: map[string][]string{}}
	for _, f := range []struct{ path, role string }{{files.Model, ""}, {files.UNet, UNet}, {files.TextEncoder, TextEncoder},
		{files.TextEncoder2, TextEncoder2}, {files.VAE, "vae"}, {files.ControlNet, ControlNet}, {files.TAESD, "taesd"}, {files.Upscaler, "upscaler"}} {
		if f.path == "" {
			continue
		}
		if err := r.read(f.path, f.role); err != nil {
			return Inventory{}, err
		}
	}
	return r.inventory(), nil
}

// reader collects weights by component and name; a later file's component takes the place of an earlier one's.
type reader struct {
	found map[string]map[string]Weight
	order map[string][]string
	dims  modelfile.Dims
}

// componentOrder is the order of an Inventory's components.
var componentOrder = []string{TextEncoder, TextEncoder2, UNet, VAEEncoder, VAEDecoder, ControlNet, "upscaler"}

func (r *reader) inventory() Inventory {
	v := Inventory{Dims: r.dims}
	for _, name := range componentOrder {
		if len(r.order[name]) == 0 {
			continue
		}
		c := Component{Name: name}
		for _, weight := range r.order[name] {
			c.Weights = append(c.Weights, r.found[name][weight])
		}
		v.Components = append(v.Components, c)
	}
	return v
}

func (r *reader) read(path, role string) error {
	c, err := modelfile.OpenAll(path)
	if err != nil {
		return err
	}
	defer c.Close()
	r.adoptDims(c.Dims, role)
	fresh := map[string]bool{} // components that this file has begun
	for _, t := range c.Tensors {
		for _, w := range weightsOf(t) {
			name, ok := componentOf(w.Name, role, c.Dims)
			if !ok {
				continue
			}
			if !fresh[name] {
				fresh[name] = true
				r.found[name], r.order[name] = map[string]Weight{}, nil
			}
			if _, again := r.found[name][w.Name]; !again {
				r.order[name] = append(r.order[name], w.Name)
			}
			r.found[name][w.Name] = w
		}
	}
	for name := range fresh {
		for key, w := range r.found[name] {
			if w.Class == ClassConv {
				_, w.Bias = r.found[name][strings.TrimSuffix(key, ".weight")+".bias"]
				r.found[name][key] = w
			}
		}
	}
	return nil
}

// adoptDims takes over what a file says of the components it is named for.
func (r *reader) adoptDims(d modelfile.Dims, role string) {
	whole := role == ""
	if d.UNet != nil && (whole || role == UNet) {
		r.dims.UNet = d.UNet
	}
	if d.VAE != nil && (whole || role == "vae") {
		r.dims.VAE = d.VAE
	}
	if t := d.TextEncoder; t != nil && (whole || role == TextEncoder) {
		r.dims.TextEncoder = t
	}
	if t := d.TextEncoder2; t != nil && (whole || role == TextEncoder2) {
		r.dims.TextEncoder2 = t
	}
	if role == TextEncoder && d.TextEncoder == nil && d.TextEncoder2 != nil {
		r.dims.TextEncoder = d.TextEncoder2
	}
	if role == TextEncoder2 && d.TextEncoder2 == nil && d.TextEncoder != nil {
		r.dims.TextEncoder2 = d.TextEncoder
	}
	if d.ControlNet != nil {
		r.dims.ControlNet = d.ControlNet
	}
	if d.TAESD != nil {
		r.dims.TAESD = d.TAESD
	}
	if d.Upscaler != nil {
		r.dims.Upscaler = d.Upscaler
	}
}

// componentOf says which component a weight of a file is part of, where the file is named for a role.
func componentOf(name, role string, d modelfile.Dims) (string, bool) {
	component := ""
	switch head, rest, _ := strings.Cut(name, "."); head {
	case "vae":
		component = VAEEncoder
		if strings.HasPrefix(rest, "decoder.") || strings.HasPrefix(rest, "post_quant_conv.") {
			component = VAEDecoder
		}
		return component, role == "" || role == "vae"
	case "taesd":
		component = VAEEncoder
		if strings.HasPrefix(rest, "decoder.") {
			component = VAEDecoder
		}
		return component, role == "taesd"
	default:
		component = head
	}
	if strings.HasPrefix(role, TextEncoder) && strings.HasPrefix(component, TextEncoder) {
		alone := d.TextEncoder == nil || d.TextEncoder2 == nil // a lone encoder's file does not know which it will be
		return role, component == role || alone
	}
	return component, role == "" || role == component
}

// sensitiveParts are the names of layers that are never quantized; see Params::linear in native/src/model/params.cpp and the
// modules that call it.
var sensitiveParts = []string{".time_emb_proj.", ".time_embedding.", ".add_embedding.", "text_projection.", ".transformer_layes.", ".spatial_ch_projs.",
	".control_add_embedding."}

// convParts are the names of convolutions of one pixel, which have the shape of a matrix.
var convParts = []string{".conv_shortcut.", "quant_conv.", ".controlnet_down_blocks.", ".controlnet_mid_block.", ".skip."}

// weightsOf turns a file's tensor into what it becomes: mostly one weight; three where q, k and v are one.
func weightsOf(t modelfile.Used) []Weight {
	if t.Component == "taesd" && len(t.Canonical) == 0 { // bare numbers, in files of the original layout
		t.Canonical = []modelfile.CanonicalPart{{Name: "taesd.decoder." + t.Name, Parts: 1}}
	}
	var out []Weight
	for _, part := range t.Canonical {
		if strings.Contains(part.Name, ".transformer_layes.") {
			out = append(out, fuseWeights(part, t)...)
			continue
		}
		if w, ok := weightOf(part.Name, t, int64(max(part.Parts, 1)), part.Transpose); ok {
			out = append(out, w)
		}
	}
	return out
}

// fuseWeights is weightsOf for the transformer of a Union ControlNet, of whose attention over two tokens only v is needed.
func fuseWeights(part modelfile.CanonicalPart, t modelfile.Used) []Weight {
	name, parts := part.Name, int64(1)
	if i := strings.Index(name, ".attn.in_proj_"); i >= 0 {
		name, parts = name[:i]+".attn.to_v."+strings.TrimPrefix(name[i:], ".attn.in_proj_"), 3
	}
	w, ok := weightOf(name, t, parts, false)
	if !ok {
		return nil
	}
	return []Weight{w}
}

func weightOf(name string, t modelfile.Used, parts int64, transpose bool) (Weight, bool) {
	w := Weight{Name: name, File: t.DType, Out: 1}
	shape := t.Shape
	switch {
	case len(shape) == 1 || len(shape) == 0:
		w.Class, w.In = ClassVector, t.Elements()/parts
		return w, true
	case len(shape) == 4 && (shape[2] > 1 || anyOf(name, convParts)):
		w.Class, w.Out, w.In, w.Kernel = ClassConv, shape[0], shape[1], shape[2]
		return w, shape[2] == shape[3]
	}
	w.Out, w.In = shape[0]/parts, shape[1]
	if transpose {
		w.Out, w.In = w.In, w.Out
	}
	switch {
	case anyOf(name, convParts):
		w.Class, w.Kernel = ClassConv, 1
	case strings.HasSuffix(name, "_embedding.weight") && strings.HasPrefix(name, TextEncoder), strings.HasSuffix(name, ".task_embedding"):
		w.Class = ClassTable
	case anyOf(name, sensitiveParts), strings.HasPrefix(name, "vae."):
		w.Class = ClassSensitive
	}
	return w, true
}

func anyOf(name string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(name, p) {
			return true
		}
	}
	return false
}

// String names a component and counts its weights.
func (c Component) String() string { return fmt.Sprintf("%s (%d tensors)", c.Name, len(c.Weights)) }
