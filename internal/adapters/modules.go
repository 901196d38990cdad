package adapters

import (
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// ModulesOf lists the modules of a model from its dimensions alone, as an open model's Modules does.
func ModulesOf(d modelfile.Dims) []backend.Module {
	var out []backend.Module
	for _, component := range []string{lora.UNet, lora.TextEncoder, lora.TextEncoder2} {
		specs := d.Specs(component, modelfile.LayoutDiffusers)
		biases := map[string]bool{}
		for _, s := range specs {
			if name, ok := strings.CutSuffix(modelfile.CanonicalTensor(component, s.Name), ".bias"); ok && !s.Optional {
				biases[name] = true
			}
		}
		for _, s := range specs {
			if s.Optional {
				continue
			}
			if m, ok := moduleOf(component, s); ok {
				m.Bias = biases[m.Name]
				out = append(out, m)
			}
		}
	}
	return out
}

// moduleOf returns the module whose weight a tensor is.
func moduleOf(component string, s modelfile.Spec) (backend.Module, bool) {
	name, ok := strings.CutSuffix(modelfile.CanonicalTensor(component, s.Name), ".weight")
	if !ok {
		return backend.Module{}, false
	}
	m := backend.Module{Name: name, Component: component, Type: backend.TypeAuto, Out: int(s.Shape[0]), In: int(s.Shape[0])}
	switch {
	case s.Role == modelfile.RoleNorm:
		m.Kind = backend.ModuleNorm
	case s.Role == modelfile.RoleEmbedding, s.Role == modelfile.RolePosition:
		m.Kind, m.Out = backend.ModuleEmbedding, int(s.Shape[1])
	case len(s.Shape) == 4:
		m.Kind, m.In, m.Kernel = backend.ModuleConv2D, int(s.Shape[1]), int(s.Shape[2])
	default:
		m.Kind, m.In = backend.ModuleLinear, int(s.Shape[1])
	}
	return m, true
}

// ints converts sizes. They were checked against the model's before.
func ints(sizes []int64) []int {
	out := make([]int, len(sizes))
	for i, n := range sizes {
		out[i] = int(n)
	}
	return out
}
