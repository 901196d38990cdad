package adapters

import (
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
func (g *group) planLoRA(src *source) *planned {
	if !g.weighs() || !g.hasAll(partDown, partUp) {
		return nil
	}
	p := g.lowRank(src, AlgorithmLoRA, partDown, partUp, partMid)
	if g.kernel() > 1 {
		p.algorithm = AlgorithmLoCon
	}
	g.addMagnitude(p)
	return p
}

// lowRank plans alpha/r up down, with the tensors of these names.
func (g *group) lowRank(src *source, algorithm Algorithm, downPart, upPart, midPart part) *planned {
	down, _ := g.take(downPart)
	up, _ := g.take(upPart)
	mid, core := g.take(midPart)
	k, in, out := int64(g.kernel()), int64(g.module.In), int64(g.module.Out)
	g.expect(len(down.Shape) >= 2 && len(up.Shape) >= 2, down, "matrices")
	rank, inner := up.Shape[1], down.Shape[0]
	checkRank(min(rank, inner), down)
	if core {
		g.expect(k > 1 && is(down, inner, in) && is(mid, rank, inner, k, k), mid, "[r, r, kernel, kernel] between down [r, in] and up [out, r]")
	} else {
		g.expect(is(down, inner, in, k, k), down, "[r, in] or [r, in, kernel, kernel]")
	}
	g.expect(is(up, out, rank) && (core || rank == inner), up, "[out, r] with the r of down")
	p := g.planned(algorithm, backend.LoRALowRank)
	p.rank = int(rank)
	p.target.Scale, p.alpha = g.scale(src, p.rank)
	p.inner = p.rank
	shape := append([]int{p.rank}, g.weightShape()[1:]...)
	p.bytes = rawBytes(down) + rawBytes(up)
	if core {
		p.bytes = 4*int64(backend.Count(shape...)) + rawBytes(up)
	}
	p.load = func(src *source, t *backend.LoRATarget) {
		t.B = src.raw(up, int(out), int(rank))
		if core { // the kernel A[s, i, h, w] = sum over t of core[s, t, h, w] down[t, i]
			t.A = floatTensor(contractCore(src.floats(mid), src.floats(down), int(rank), int(inner), int(in), int(k*k)), shape...)
		} else {
			t.A = src.raw(down, shape...)
		}
	}
	return p
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
func (g *group) addMagnitude(p *planned) {
	t, peft := g.take(partPEFTMagnitude)
	if !peft {
		var ok bool
		if t, ok = g.take(partMagnitude); !ok {
			return
		}
	}
	in, out, n := int64(g.module.In), int64(g.module.Out), t.Elements()
	perOutput := peft || len(t.Shape) < 2 && n == out || len(t.Shape) >= 2 && t.Shape[0] == n
	if !perOutput || n != out {
		g.expect(!peft && n == in && (len(t.Shape) < 2 || t.Shape[1] == n), t, "one magnitude per output or input")
		p.target.MagnitudeAxis = 1
	}
	load := p.load
	p.dora = true
	p.bytes += rawBytes(t)
	p.load = func(src *source, target *backend.LoRATarget) {
		load(src, target)
		magnitude := src.raw(t, int(n))
		target.Magnitude = &magnitude
	}
}
