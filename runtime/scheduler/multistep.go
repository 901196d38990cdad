package scheduler

// multistep is what solvers share that remember predictions of earlier levels.
type multistep struct {
	vpSpace
	order           int
	lowerOrderFinal bool
	predictions     history
	weights         []float64
}

// newMultistep remembers depth predictions.
func newMultistep(c *Config, v vpSpace, depth int) multistep {
	m := multistep{vpSpace: v, order: val(c.SolverOrder), lowerOrderFinal: val(c.LowerOrderFinal),
		predictions: newHistory(depth), weights: make([]float64, depth)}
	if v.steep() {
		m.predictions.rest = make([][]float32, depth)
	}
	return m
}

func (m *multistep) reset(_, n int) { m.predictions.reset(n) }
