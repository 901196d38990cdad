package scheduler

// prediction is what the model predicts.
type prediction int

const (
	predictEpsilon prediction = iota
	predictV
	predictSample
	predictFlow // noise - x0, in the frame of vpSpace only
)

func predictionOf(c *Config) prediction {
	switch c.PredictionType {
	case "v_prediction":
		return predictV
	case "sample", "original_sample":
		return predictSample
	case "flow_prediction":
		return predictFlow
	}
	return predictEpsilon
}

// original writes the predicted x0 of a sample that is a*x0 + s*noise.
func (p prediction) original(dst, out, sample []float32, a, s float64) {
	switch p {
	case predictEpsilon:
		combine2(dst, 1/a, sample, -s/a, out)
	case predictV:
		combine2(dst, a, sample, -s, out)
	case predictFlow:
		combine2(dst, 1, sample, -s, out)
	case predictSample:
		copy(dst, out)
	}
}

// epsilon writes the predicted noise of such a sample, for models that predict noise or v.
func (p prediction) epsilon(dst, out, sample []float32, a, s float64) {
	if p == predictV {
		combine2(dst, a, out, s, sample)
		return
	}
	copy(dst, out)
}
