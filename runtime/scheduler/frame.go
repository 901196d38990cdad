package scheduler

// frame is where samples are alpha*x0 + sigma*noise, with levels by evaluation and one after the last.
type frame struct {
	quiet
	alpha, sigma []float64
	prediction   prediction
	limit        limiter
}

func newFrame(c *Config, batch int) frame {
	return frame{prediction: predictionOf(c), limit: newLimiter(c, batch)}
}

// add appends a level.
func (f *frame) add(alpha, sigma float64) {
	f.alpha, f.sigma = append(f.alpha, alpha), append(f.sigma, sigma)
}

func (f *frame) scale(dst, sample []float32, _ int) { copy(dst, sample) }

func (f *frame) addNoise(dst, original, noise []float32, i int) {
	combine2(dst, f.alpha[i], original, f.sigma[i], noise)
}

// original predicts x0, within the limiter's bounds.
func (f *frame) original(dst, out, sample []float32, i int) {
	f.prediction.original(dst, out, sample, f.alpha[i], f.sigma[i])
	f.limit.apply(dst)
}
