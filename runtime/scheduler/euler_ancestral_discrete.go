package scheduler

// eulerAncestralDiscrete is Euler's method with ancestral sampling: each step goes further down than the next
// level and adds fresh noise (after k-diffusion's sample_euler_ancestral).
var eulerAncestralDiscrete = method{start: veStart(func(_ *Config, v veSpace) solver { return &eulerAncestral{v} })}

type eulerAncestral struct{ veSpace }

func (e *eulerAncestral) noisy(int) bool { return true }

func (e *eulerAncestral) step(dst, out, sample, noise []float32, i int) {
	sigma := e.sigmas[i]
	up, down := ancestral(sigma, e.sigmas[i+1])
	e.euler(dst, out, sample, sigma, sigma, down-sigma)
	addNoise32(dst, noise, up)
}

// ancestral splits the step between two levels into the noise to add (up) and the level to go down to
// before, in float32 as diffusers does.
func ancestral(from, to float32) (up, down float32) {
	f2, t2 := float32(from*from), float32(to*to)
	up = sqrt32(float32(t2*float32(f2-t2)) / f2)
	down = sqrt32(t2 - float32(up*up))
	return up, down
}

// addNoise32 adds noise of a standard deviation to dst, in float32.
func addNoise32(dst, noise []float32, std float32) {
	for j, z := range noise {
		dst[j] += float32(z * std)
	}
}
