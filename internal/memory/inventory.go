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
	ImageEncoder = "image_encoder"
	IPAdapter    = "ip_adapter"
	Detector     = "detector"
)

// Weight is one tensor as the backend will hold it.
type Weight struct {
	Name   string // canonical: "unet.conv_in.weight"
	Use    backend.Use
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
	m, err := modelfile.ReadModel(files)
	if err != nil {
		return Inventory{}, err
	}
	table, err := m.Table()
	if err != nil {
		return Inventory{}, err
	}
	return Inventory{Components: components(table), Dims: m.Dims}, nil
}

// ComponentsOf lists what a configuration's files hold, by its table if it has one.
func ComponentsOf(cfg backend.ModelConfig) ([]Component, error) {
	if cfg.Table != nil {
		return components(cfg.Table), nil
	}
	v, err := Read(cfg.Files)
	return v.Components, err
}

// components lists what a table holds.
func components(table *backend.Table) []Component {
	found := map[string]*Component{}
	biased := map[string]bool{}
	for _, w := range table.Weights {
		if module, ok := strings.CutSuffix(w.Name, ".bias"); ok {
			biased[module] = true
		}
	}
	for _, w := range table.Weights {
		c := found[w.Component]
		if c == nil {
			c = &Component{Name: w.Component}
			found[w.Component] = c
		}
		weight := Weight{Name: w.Name, Use: w.Use, File: modelfile.DType(strings.ToUpper(string(w.Type))), Out: 1}
		switch w.Use {
		case backend.UseVector:
			weight.In = w.Shape[0]
		case backend.UseConv:
			weight.Out, weight.In, weight.Kernel = w.Shape[0], w.Shape[1], w.Shape[2]
			weight.Bias = biased[strings.TrimSuffix(w.Name, ".weight")]
		default:
			weight.Out, weight.In = w.Shape[0], w.Shape[1]
		}
		c.Weights = append(c.Weights, weight)
	}
	var out []Component
	for _, name := range backend.ComponentNames {
		if c := found[name]; c != nil {
			out = append(out, *c)
		}
	}
	return out
}

// String names a component and counts its weights.
func (c Component) String() string { return fmt.Sprintf("%s (%d tensors)", c.Name, len(c.Weights)) }
