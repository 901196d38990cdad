package adapters

import (
	"math"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// Orthogonal fine-tuning: a rotation of a layer's outputs or inputs, in blocks (arXiv 2306.07280) or in butterflies (2311.06243).
const (
	AlgorithmOFT  Algorithm = "oft"
	AlgorithmBOFT Algorithm = "boft"
)

const (
	partOFTBlocks part = "oft_blocks" // of kohya and LyCORIS: [blocks, n, n], of BOFT [stages, blocks, n, n]
	partRescale   part = "rescale"
	partOFTr      part = "oft_r" // of PEFT up to 0.15: [blocks, n, n]
	partOFTs      part = "oft_s" // of PEFT 0.14 and 0.15: a factor for each output
	partOFTR      part = "oft_R.weight"
	partBOFTR     part = "boft_R" // of PEFT: [stages, blocks, n, n]
	partBOFTs     part = "boft_s"
)

var (
	oftAlgorithm = algorithm{parts: []part{partOFTBlocks, partRescale}, pairs: [][2]part{{partRescale, partOFTBlocks}},
		plan: (*group).planOFT}
	peftOFTAlgorithm = algorithm{parts: []part{partOFTr, partOFTs, partOFTR}, pairs: [][2]part{{partOFTs, partOFTr}},
		also: map[string]part{".oft_r.default": partOFTr, ".oft_s.default": partOFTs, ".oft_R.default.weight": partOFTR},
		plan: (*group).planPEFTOFT}
	peftBOFTAlgorithm = algorithm{parts: []part{partBOFTR, partBOFTs}, pairs: [][2]part{{partBOFTR, partBOFTs}},
		also: map[string]part{".boft_R.default": partBOFTR, ".boft_s.default": partBOFTs}, plan: (*group).planPEFTBOFT}
)

// planOFT reads the form of LyCORIS and kohya's trainer: rotations of a weight's outputs by Cayley's formula. "alpha" times the number of
// outputs bounds the rotation. LyCORIS may add a factor for each output.
func (g *group) planOFT(src *source) *planned {
	t, ok := g.take(partOFTBlocks)
	if !ok || !g.weighs() {
		delete(g.used, partOFTBlocks)
		return nil
	}
	butterfly := len(t.Shape) == 4
	g.expect(butterfly || len(t.Shape) == 3, t, "[blocks, n, n] or [stages, blocks, n, n]")
	shape := t.Shape
	if !butterfly {
		shape = append([]int64{1}, shape...)
	}
	p := g.rotation(backend.LoRAOutRotate, AlgorithmOFT, t, shape, partRescale)
	if butterfly {
		p.algorithm = AlgorithmBOFT
		g.expect(shape[3]%2 == 0, t, "blocks of even sides")
	}
	bound := math.Inf(1)
	if a, ok := g.take(partAlpha); ok {
		g.expect(a.Elements() == 1, a, "one number")
		bound = float64(src.floats(a)[0]) * float64(g.module.Out)
		if bound <= 0 && !g.kohyaOFT() {
			bound = math.Inf(1)
		}
	}
	p.load = g.loadRotation(p, func(src *source) []float64 {
		n := int(shape[3])
		q := widened(src.floats(t))
		skew(q, n, 1)
		shrink(q, bound)
		out := cayley(q, n, 1)
		if butterfly {
			return interleave(out, n)
		}
		return transposeBlocks(out, n)
	})
	return p
}

// planPEFTOFT reads PEFT's form. Up to PEFT 0.13 it rotates outputs. Since 0.14 it rotates inputs; the inputs of a wide convolution include
// the positions of its kernel.
func (g *group) planPEFTOFT(*source) *planned {
	if !g.weighs() || !g.has(partOFTr, partOFTR) {
		return nil
	}
	c, known := g.scales.oft(g.module.Name)
	t, packed := g.take(partOFTR)
	if !packed {
		t, _ = g.take(partOFTr)
	}
	if !known {
		panic(fail(lora.ErrFormat, tensorField(t.Name), "is PEFT's OFT, whose file does not say how it is computed: "+
			"PEFT's adapter_config.json must be beside the file, which must be called adapter_model"))
	}
	form, factors := backend.LoRAInRotate, partOFTs
	if !packed && !g.has(partOFTs) {
		form = backend.LoRAOutRotate
	}
	shape := t.Shape
	if packed {
		g.expect(len(shape) == 2, t, "[blocks, n (n-1) / 2]")
		n := int64(math.Round((1 + math.Sqrt(1+8*float64(shape[1]))) / 2))
		g.expect(shape[1] > 0 && n*(n-1)/2 == shape[1], t, "[blocks, n (n-1) / 2]")
		shape = []int64{shape[0], n, n}
	}
	g.expect(len(shape) == 3, t, "[blocks, n, n]")
	blocks, n := int(shape[0]), int(shape[1])
	features := g.features(form)
	shared := blocks == 1 && n > 0 && n < features
	if shared {
		shape = []int64{int64(features / n), shape[1], shape[2]}
	}
	p := g.rotation(form, AlgorithmOFT, t, append([]int64{1}, shape...), factors)
	p.load = g.loadRotation(p, func(src *source) []float64 {
		q := widened(src.floats(t))
		if packed {
			q = unpack(q, blocks, n)
		}
		if c.COFT {
			eps := c.Eps
			if side := math.Ceil(float64(g.module.Out) / float64(features/n)); !packed {
				eps *= side * side // up to PEFT 0.15
			}
			shrinkBlocks(q, n, eps/math.Sqrt(float64(blocks)))
		}
		if !packed {
			skew(q, n, 0.5)
		}
		var r []float64
		if packed && c.neumann() {
			r = neumann(q, n, c.terms(), c.halvedTail())
		} else {
			r = cayley(q, n, -1)
		}
		r = transposeBlocks(r, n)
		if shared {
			r = repeated(r, features/n)
		}
		return r
	})
	return p
}

// planPEFTBOFT reads W' = diag(s) W M^T, where M is PEFT's product of butterflies, the first of them on the right.
func (g *group) planPEFTBOFT(*source) *planned {
	if !g.weighs() || !g.hasAll(partBOFTR, partBOFTs) {
		return nil
	}
	t, _ := g.take(partBOFTR)
	g.expect(len(t.Shape) == 4, t, "[stages, blocks, n, n]")
	p := g.rotation(backend.LoRAInRotate, AlgorithmBOFT, t, t.Shape, partBOFTs)
	p.load = g.loadRotation(p, func(src *source) []float64 {
		n := int(t.Shape[3])
		q := widened(src.floats(t))
		skew(q, n, 0.5)
		return transposeBlocks(cayley(q, n, -1), n)
	})
	return p
}

// features is the number of features that a rotation of this form rotates.
func (g *group) features(form backend.LoRAForm) int {
	if form == backend.LoRAOutRotate {
		return g.module.Out
	}
	return g.module.In * g.kernel() * g.kernel()
}

// rotation plans a target whose stages have the given shape and are made of t. If the group has factors for the outputs, it uses them.
func (g *group) rotation(form backend.LoRAForm, algorithm Algorithm, t modelfile.Tensor, shape []int64, factors part) *planned {
	features := g.features(form)
	stages := ints(shape)
	g.expect(stagesFit(stages, features), t, "blocks that make up its features, in at most so many stages as blocks allow")
	p := g.planned(algorithm, form)
	p.stages = stages
	p.bytes = 4 * int64(backend.Count(stages...))
	if f, ok := g.take(factors); ok {
		g.expect(f.Elements() == int64(g.module.Out), f, "one factor per output")
		p.rescale = &f
		p.bytes += 4 * f.Elements()
	}
	return p
}

// loadRotation reads the stages less the identity, and the factors less one.
func (g *group) loadRotation(p *planned, read func(*source) []float64) func(*source, *backend.LoRATarget) {
	return func(src *source, target *backend.LoRATarget) {
		r, n := read(src), p.stages[3]
		out := make([]float32, len(r))
		for i, v := range r {
			if i/n%n == i%n {
				v--
			}
			if out[i] = float32(v); out[i]-out[i] != 0 {
				panic(fail(lora.ErrValue, quoteName(g.base), "makes a rotation that is not finite"))
			}
		}
		target.A = floatTensor(out, p.stages...)
		if p.rescale != nil {
			f := src.floats(*p.rescale)
			for i := range f {
				f[i]--
			}
			target.B = floatTensor(f, len(f))
		}
	}
}
