package adapters

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// maxScale is the largest alpha/rank that is believed; adapters in use stay below about 100.
const maxScale = 10_000

// group is all that a file has for one module.
type group struct {
	base   string // the module's name in the file
	module backend.Module
	block  string
	parts  map[part]modelfile.Tensor
	used   map[part]bool
	scales scaling
}

// planned is one target whose shapes are checked and whose data is not read yet.
type planned struct {
	target    backend.LoRATarget // without tensors
	module    backend.Module
	algorithm Algorithm
	rank      int     // 0: none
	inner     int     // of a low-rank form, the rank that the model sees
	alpha     float64 // as in force
	block     string
	dora      bool
	bytes     int64             // of its tensors
	stages    []int             // of a rotation
	kron      [4]int            // rows and columns of a Kronecker product's factors
	rescale   *modelfile.Tensor // of a rotation: a factor for each output; nil: none
	load      func(*source, *backend.LoRATarget)
}

// planned is a target of the group's module, unscaled.
func (g *group) planned(algorithm Algorithm, form backend.LoRAForm) *planned {
	return &planned{algorithm: algorithm, block: g.block, target: backend.LoRATarget{Module: g.module.Name, Form: form, Scale: 1}}
}

// take returns a part and marks it as used.
func (g *group) take(p part) (modelfile.Tensor, bool) {
	t, ok := g.parts[p]
	if ok {
		g.used[p] = true
	}
	return t, ok
}

func (g *group) has(parts ...part) bool {
	return slices.ContainsFunc(parts, func(p part) bool { _, ok := g.parts[p]; return ok })
}

func (g *group) hasAll(parts ...part) bool {
	return !slices.ContainsFunc(parts, func(p part) bool { return !g.has(p) })
}

// plan turns the group into targets. Tensors that it leaves unused match nothing. It panics with errors about values and shapes.
func (g *group) plan(src *source) (out []planned) {
	for _, a := range algorithms {
		if !g.has(a.parts...) {
			continue
		}
		if p := a.plan(g, src); p != nil {
			out = append(out, *p)
		}
	}
	if bias, ok := g.parts[partBias]; ok && g.used[partUp] {
		p := g.planBias(partBias, AlgorithmLoRA, out[0].target.Scale)
		g.expect(p != nil, bias, "the module's bias")
		out = append(out, *p)
	}
	return out
}

// scale returns alpha/rank (or alpha/sqrt(rank) for rank-stabilised adapters); a missing alpha is the rank.
func (g *group) scale(src *source, rank int) (scale, alpha float64) {
	alpha, root := g.scales.alpha(g.module.Name, rank)
	if t, ok := g.take(partAlpha); ok {
		if t.Elements() != 1 {
			panic(fail(lora.ErrShape, tensorField(t.Name), "has shape %v; an alpha is one number", t.Shape))
		}
		alpha = float64(src.floats(t)[0])
	}
	scale = alpha / float64(rank)
	if root {
		scale = alpha / math.Sqrt(float64(rank))
	}
	if math.Abs(scale) > maxScale {
		panic(fail(lora.ErrValue, quoteName(g.base)+".alpha",
			"is %g for rank %d; more than %d times the rank is no trained adapter", alpha, rank, maxScale))
	}
	return scale, alpha
}

// checkRank refuses matrices without content.
func checkRank(rank int64, t modelfile.Tensor) {
	if rank < 1 {
		panic(fail(lora.ErrValue, tensorField(t.Name),
			"has rank 0 (shape %v): there is nothing to apply; the file is damaged or was extracted from equal models", t.Shape))
	}
}

// expect refuses a tensor whose shape does not go with its module.
func (g *group) expect(fits bool, t modelfile.Tensor, want string) {
	if !fits {
		panic(fail(lora.ErrShape, tensorField(t.Name), "has shape %v, which does not fit %s: expected %s", t.Shape, describe(g.module), want))
	}
}

// describe tells a module's name and dimensions.
func describe(m backend.Module) string {
	switch m.Kind {
	case backend.ModuleConv2D:
		return fmt.Sprintf("%s (convolution %d -> %d, kernel %d)", m.Name, m.In, m.Out, m.Kernel)
	case backend.ModuleLinear:
		return fmt.Sprintf("%s (linear %d -> %d)", m.Name, m.In, m.Out)
	}
	return fmt.Sprintf("%s (%s of width %d)", m.Name, m.Kind, m.Out)
}

// kohyaOFT recognises files of kohya's trainer. In them a bound of 0 is a real bound.
func (g *group) kohyaOFT() bool { return strings.HasPrefix(g.base, "oft_unet_") }

// kernel is the side of the module's kernel; 1 for a linear one.
func (g *group) kernel() int { return max(g.module.Kernel, 1) }

// weighs reports whether the module multiplies by a matrix.
func (g *group) weighs() bool {
	return g.module.Kind == backend.ModuleLinear || g.module.Kind == backend.ModuleConv2D
}

// weightShape is the shape of the module's weight.
func (g *group) weightShape() []int {
	switch g.module.Kind {
	case backend.ModuleConv2D:
		return []int{g.module.Out, g.module.In, g.kernel(), g.kernel()}
	case backend.ModuleNorm:
		return []int{g.module.Out}
	}
	return []int{g.module.Out, g.module.In}
}

// squeezed drops the dimensions of one behind the second, by which kohya's files make matrices of 1x1 kernels.
func squeezed(shape []int64) []int64 {
	for len(shape) > 2 && shape[len(shape)-1] == 1 {
		shape = shape[:len(shape)-1]
	}
	return shape
}

// is reports whether a tensor has the given shape. A matrix may be written as a 1x1 kernel, and the reverse.
func is(t modelfile.Tensor, dims ...int64) bool {
	return slices.Equal(squeezed(t.Shape), squeezed(dims))
}

// unused lists the group's tensors that no target took.
func (g *group) unused() []Unmatched {
	var out []Unmatched
	for p, t := range g.parts {
		if !g.used[p] {
			out = append(out, Unmatched{Tensor: t.Name, Reason: g.reason(p), leftover: 1})
		}
	}
	return out
}

// reason says why a part was not taken.
func (g *group) reason(p part) string {
	switch {
	case p == partIA3:
		return "a plain weight, no part of an adapter"
	case !g.weighs() && p != partDiff && p != partNormWeight && p != partNormBias && p != partDiffBias:
		return fmt.Sprintf("%s is a %s, which this algorithm does not change", g.module.Name, g.module.Kind)
	}
	var missing []string
	for _, a := range algorithms {
		for _, pair := range a.pairs {
			for i, p := range pair {
				other := pair[1-i]
				name := strings.TrimSuffix(string(other), ".weight")
				if g.has(p) && !g.has(other) && !slices.Contains(missing, name) {
					missing = append(missing, name)
				}
			}
		}
	}
	if len(missing) > 0 {
		return "its counterpart is missing: " + strings.Join(missing, ", ")
	}
	return "nothing in the file goes with it"
}
