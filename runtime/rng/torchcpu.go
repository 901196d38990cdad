package rng

import "math"

// TorchCPU is torch's default generator on the CPU. Raw draws equal torch's bit for bit; normals agree
// within 1e-6, because torch's vectorised logarithm and sine differ from the exact ones in the last place.
type TorchCPU struct {
	mt     mt19937
	cached float64 // second value of the last pair of the small path
	has    bool
}

// NewTorchCPU returns a generator seeded as torch.Generator("cpu").manual_seed(seed) is. Like torch's,
// it depends on the low 32 bits of the seed only.
func NewTorchCPU(seed uint64) *TorchCPU {
	g := &TorchCPU{}
	g.Seed(seed)
	return g
}

// Seed starts the generator afresh.
func (g *TorchCPU) Seed(seed uint64) {
	g.mt.seed(seed)
	g.has = false
}

// Uint32 draws 32 bits (CPUGeneratorImpl::random).
func (g *TorchCPU) Uint32() uint32 { return g.mt.uint32() }

// Uint64 draws 64 bits, the upper half first (CPUGeneratorImpl::random64).
func (g *TorchCPU) Uint64() uint64 {
	hi := uint64(g.mt.uint32())
	return hi<<32 | uint64(g.mt.uint32())
}

// float32 draws from [0, 1) with 24 bits of one word.
func (g *TorchCPU) float32() float32 { return float32(g.mt.uint32()&(1<<24-1)) * (1.0 / (1 << 24)) }

// float64 draws from [0, 1) with 53 bits of two words.
func (g *TorchCPU) float64() float64 { return float64(g.Uint64()&(1<<53-1)) * (1.0 / (1 << 53)) }

// Uniform is torch.rand in float32.
func (g *TorchCPU) Uniform(dst []float32) {
	for i := range dst {
		dst[i] = g.float32()
	}
}

// Uniform64 is torch.rand in float64.
func (g *TorchCPU) Uniform64(dst []float64) {
	for i := range dst {
		dst[i] = g.float64()
	}
}

// blockSize is the number of values that torch's vectorised path makes of as many uniforms; tensors with
// fewer values take the small path.
const blockSize = 16

// Normal is torch.randn in float32. From 16 values on, torch fills the tensor with uniforms and transforms it in blocks of 16. If the size
// is no multiple of 16, the last 16 values are drawn anew.
func (g *TorchCPU) Normal(dst []float32) { normals(g, dst, g.Uniform, boxMuller32) }

// Normal64 is torch.randn in float64.
func (g *TorchCPU) Normal64(dst []float64) { normals(g, dst, g.Uniform64, boxMuller64) }

func normals[T float32 | float64](g *TorchCPU, dst []T, uniform, boxMuller func([]T)) {
	if len(dst) < blockSize {
		for i := range dst {
			dst[i] = T(g.normal())
		}
		return
	}
	uniform(dst)
	whole := len(dst) / blockSize * blockSize
	for i := 0; i < whole; i += blockSize {
		boxMuller(dst[i : i+blockSize])
	}
	if whole < len(dst) {
		tail := dst[len(dst)-blockSize:]
		uniform(tail)
		boxMuller(tail)
	}
}

// normal draws one value by Box and Muller's method in float64 and keeps the second of the pair for
// the next call, across calls of Normal as torch does (normal_distribution in DistributionsHelper.h).
func (g *TorchCPU) normal() float64 {
	if g.has {
		g.has = false
		return g.cached
	}
	u1 := g.float64()
	u2 := g.float64()
	r := math.Sqrt(-2 * math.Log1p(-u2))
	sin, cos := math.Sincos(2 * math.Pi * u1)
	g.cached, g.has = r*sin, true
	return r * cos
}

// boxMuller32 transforms 16 uniforms: value j of the first half gives the radius, of the second the angle
// (normal_fill_16 in torch's DistributionTemplates.h).
func boxMuller32(b []float32) {
	const half = blockSize / 2
	for j := range half {
		u1 := 1 - b[j]
		r := math.Sqrt(-2 * math.Log(float64(u1)))
		theta := float32(2*math.Pi) * b[j+half]
		sin, cos := math.Sincos(float64(theta))
		b[j], b[j+half] = float32(r*cos), float32(r*sin)
	}
}

func boxMuller64(b []float64) {
	const half = blockSize / 2
	for j := range half {
		r := math.Sqrt(-2 * math.Log(1-b[j]))
		sin, cos := math.Sincos(2 * math.Pi * b[j+half])
		b[j], b[j+half] = r*cos, r*sin
	}
}
