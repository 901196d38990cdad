package rng

import "math"

// Philox is torch's CUDA generator: the counter-based Philox4x32-10 of Salmon, Moraes, Dror and
// Shaw (SC 2011), as cuRAND uses it.
//
// Value i of a call is the first normal of thread i. torch yields the same if the tensor has no more values than threads run at once. That
// is true for latents on common GPUs (65,536 values at 1024 x 1024 pixels). Larger tensors depend on the GPU's size in torch, and are not
// reproduced. AUTOMATIC1111's and ComfyUI's "NV" noise works the same way.
type Philox struct {
	seed   uint64
	offset uint32
}

// NewPhilox returns a generator seeded as torch.Generator("cuda").manual_seed(seed) is.
func NewPhilox(seed uint64) *Philox { return &Philox{seed: seed} }

// Seed starts the generator afresh.
func (p *Philox) Seed(seed uint64) { *p = Philox{seed: seed} }

// Normal is torch.randn(len(dst), device="cuda") in float32, up to the last places of the GPU's logarithm and sine.
func (p *Philox) Normal(dst []float32) {
	for i := range dst {
		w := p.at(i)
		u := (float64(w[0]) + 0.5) / (1 << 32)
		v := (float64(w[1]) + 0.5) / (1 << 32)
		dst[i] = float32(math.Sqrt(-2*math.Log(u)) * math.Sin(2*math.Pi*v))
	}
	p.offset++
}

// Uniform is torch.rand(len(dst), device="cuda") in float32. cuRAND yields (0, 1]; torch maps 1 to 0.
func (p *Philox) Uniform(dst []float32) {
	const scale = float32(1.0 / (1 << 32))
	for i := range dst {
		w := p.at(i)
		u := float32(float32(w[0])*scale) + scale/2
		if u == 1 {
			u = 0
		}
		dst[i] = u
	}
	p.offset++
}

// at computes the four words of thread i at the present offset.
func (p *Philox) at(i int) [4]uint32 {
	t := uint64(i)
	return philox4x32([4]uint32{p.offset, 0, uint32(t), uint32(t >> 32)}, [2]uint32{uint32(p.seed), uint32(p.seed >> 32)})
}

// philox4x32 is the bijection with ten rounds.
func philox4x32(c [4]uint32, k [2]uint32) [4]uint32 {
	const (
		m0, m1 = 0xD2511F53, 0xCD9E8D57
		w0, w1 = 0x9E3779B9, 0xBB67AE85
	)
	for round := range 10 {
		if round > 0 {
			k[0] += w0
			k[1] += w1
		}
		a, b := uint64(m0)*uint64(c[0]), uint64(m1)*uint64(c[2])
		c = [4]uint32{uint32(b>>32) ^ c[1] ^ k[0], uint32(b), uint32(a>>32) ^ c[3] ^ k[1], uint32(a)}
	}
	return c
}
