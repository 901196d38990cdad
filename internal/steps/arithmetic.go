package steps

import (
	"math"
)

// joinPart adds up the prompts that AND joins, into the first one's prediction: negative + sum of weight * (part - negative), which is
// composable diffusion (arXiv 2206.01714) as A1111 has it. With guidance the sum is scaled as a whole.
func joinPart(sum, negative, part []float32, weight float32, first bool) {
	for i, n := range negative {
		d := float32(weight * (part[i] - n))
		if first {
			sum[i] = n + d
		} else {
			sum[i] += d
		}
	}
}

// applyGuidance is classifier-free guidance (arXiv 2207.12598) as diffusers writes it:
// negative + scale * (positive - negative), into negative.
func applyGuidance(negative, positive []float32, scale float32) {
	for i, n := range negative {
		negative[i] = n + float32(scale*(positive[i]-n))
	}
}

// rescaleGuidance brings one picture's guided prediction back to the standard deviation of the positive
// one, by the factor phi: section 3.4 of arXiv 2305.08891, "Common Diffusion Noise Schedules and Sample
// Steps are Flawed", and rescale_noise_cfg of diffusers.
func rescaleGuidance(guided, positive []float32, phi float32) {
	sg, sp := deviation(guided), deviation(positive)
	if sg == 0 {
		return
	}
	factor := float32(sp) / float32(sg)
	for i, v := range guided {
		guided[i] = float32(phi*float32(v*factor)) + float32((1-phi)*v)
	}
}

// deviation is the standard deviation with Bessel's correction, as torch.std.
func deviation(x []float32) float64 {
	if len(x) < 2 {
		return 0
	}
	var mean, square float64
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	for _, v := range x {
		square += (float64(v) - mean) * (float64(v) - mean)
	}
	return math.Sqrt(square / float64(len(x)-1))
}
