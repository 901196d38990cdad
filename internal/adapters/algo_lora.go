package adapters

import (
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// LoRA, and LoRA of a convolution larger than 1x1.
const (
	AlgorithmLoRA  Algorithm = "lora"
	AlgorithmLoCon Algorithm = "locon"
)

const (
	partDown part = "lora_down.weight"
	partUp   part = "lora_up.weight"
	partMid  part = "lora_mid.weight" // Tucker core of a convolution, [r, r, k, k]
	// partBias is the bias PEFT trains along with lora_B (lora_bias); it is scaled as B is.
	partBias part = "lora_B.bias"
)

// loraAlgorithm is called so by kohya, LyCORIS, OneTrainer and ai-toolkit.
var loraAlgorithm = algorithm{
	parts: []part{partDown, partUp, partMid, partBias},
	also: map[string]part{
		".lora_A.weight":         partDown, // PEFT, diffusers >= 0.25
		".lora_B.weight":         partUp,
		".lora_A.default.weight": partDown, // PEFT's state dict with the adapter's name
		".lora_B.default.weight": partUp,
		".lora_B.default.bias":   partBias,

		".lora_linear_layer.down.weight": partDown, // diffusers 0.17 to 0.24
		".lora_linear_layer.up.weight":   partUp,
		".lora_conv2d_layer.down.weight": partDown,
		".lora_conv2d_layer.up.weight":   partUp,
		".lora.down.weight":              partDown,
		".lora.up.weight":                partUp,
		"_lora.down.weight":              partDown, // attention processors of diffusers before 0.17
		"_lora.up.weight":                partUp,
	},
	pairs: [][2]part{{partDown, partUp}},
	plan:  (*group).planLoRA,
}

// planLoRA reads dW = alpha/r up down (arXiv 2106.09685). For a convolution down is the kernel and up is 1x1; with a
// Tucker core (LyCORIS' LoCon), down and up are 1x1 and the core has the kernel: the core is folded into down.
func (g *group) planLoRA(src *source) (*planned, error) {
	if !g.weighs() || !g.hasAll(partDown, partUp) {
		return nil, nil
	}
	down, _ := g.take(partDown)
	up, _ := g.take(partUp)
	mid, core := g.take(partMid)
	m, k := g.module, int64(g.kernel())
	in, out := int64(m.In), int64(m.Out)
	if len(down.Shape) < 2 || len(up.Shape) < 2 {
		return nil, g.misfit(down, "matrices")
	}
	rank := down.Shape[0]
	if err := g.checkRank(min(rank, up.Shape[1]), down); err != nil {
		return nil, err
	}
	switch {
	case core && !(is(down, rank, in) && is(mid, up.Shape[1], rank, k, k)):
		return nil, g.misfit(mid, "[r, r, kernel, kernel] between down [r, in] and up [out, r]")
	case !core && k == 1 && !is(down, rank, in), !core && k > 1 && !is(down, rank, in, k, k):
		return nil, g.misfit(down, "[r, in] or [r, in, kernel, kernel]")
	case !is(up, out, up.Shape[1]) || !core && up.Shape[1] != rank:
		return nil, g.misfit(up, "[out, r] with the r of down")
	}
	if core {
		rank = up.Shape[1]
	}
	scale, alpha, err := g.scale(src, int(rank))
	if err != nil {
		return nil, err
	}
	p := &planned{algorithm: AlgorithmLoRA, rank: int(rank), alpha: alpha, block: g.block,
		target: backend.LoRATarget{Module: m.Name, Form: backend.LoRALowRank, Scale: scale}}
	if k > 1 {
		p.algorithm = AlgorithmLoCon
	}
	shapeA := append([]int{int(rank)}, g.weightShape()[1:]...)
	shapeB := []int{m.Out, int(rank)}
	if core {
		p.bytes = 4*int64(backend.Count(shapeA...)) + rawBytes(up)
	} else {
		p.bytes = rawBytes(down) + rawBytes(up)
	}
	p.load = func(src *source, t *backend.LoRATarget) (err error) {
		if t.B, err = src.raw(up, shapeB...); err != nil {
			return err
		}
		if core {
			t.A, err = foldCore(src, mid, down, shapeA)
		} else {
			t.A, err = src.raw(down, shapeA...)
		}
		return err
	}
	return p, g.addMagnitude(p)
}

// foldCore returns the kernel A[s, i, h, w] = sum over t of core[s, t, h, w] down[t, i].
func foldCore(src *source, core, down modelfile.Tensor, shape []int) (backend.RawTensor, error) {
	c, err := src.floats(core)
	if err != nil {
		return backend.RawTensor{}, err
	}
	d, err := src.floats(down)
	if err != nil {
		return backend.RawTensor{}, err
	}
	return floatTensor(contractCore(c, d, shape[0], int(core.Shape[1]), shape[1], shape[2]*shape[3]), shape...), nil
}

// contractCore returns [rows, in, cells] from core [rows, inner, cells] and down [inner, in].
func contractCore(core, down []float32, rows, inner, in, cells int) []float32 {
	out := make([]float32, rows*in*cells)
	for s := range rows {
		for t := range inner {
			kernel := core[(s*inner+t)*cells:][:cells]
			for i := range in {
				d, to := down[t*in+i], out[(s*in+i)*cells:][:cells]
				for p, v := range kernel {
					to[p] += v * d
				}
			}
		}
	}
	return out
}

// addMagnitude adds DoRA's magnitudes (arXiv 2402.09353), if the group has them, and sets the axis they lie along. LyCORIS
// stores [out, 1...] for one per output and [1, in...] for one per input; PEFT's are always per output.
func (g *group) addMagnitude(p *planned) error {
	t, ok := g.take(partPEFTMagnitude)
	peft := ok
	if !ok {
		if t, ok = g.take(partMagnitude); !ok {
			return nil
		}
	}
	in, out, n := int64(g.module.In), int64(g.module.Out), t.Elements()
	perOutput := peft || len(t.Shape) < 2 && n == out || len(t.Shape) >= 2 && t.Shape[0] == n
	switch {
	case perOutput && n == out:
		p.target.MagnitudeAxis = 0
	case !peft && n == in && (len(t.Shape) < 2 || t.Shape[1] == n):
		p.target.MagnitudeAxis = 1
	default:
		return g.misfit(t, "one magnitude per output or input")
	}
	load := p.load
	p.dora = true
	p.bytes += rawBytes(t)
	p.load = func(src *source, target *backend.LoRATarget) error {
		if err := load(src, target); err != nil {
			return err
		}
		magnitude, err := src.raw(t, int(n))
		target.Magnitude = &magnitude
		return err
	}
	return nil
}
