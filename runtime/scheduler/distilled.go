package scheduler

import (
	"math"
	"strconv"
)

// distilledStart begins runs of such schedulers. last is the level after the last step; 0 means that of
// timestep 0.
func distilledStart(last float64, solve func(s *sched, timesteps []float64, v alphaSpace) solver) starter {
	return func(s *sched, o *RunOptions) (*plan, solver, error) {
		last := last
		if last == 0 {
			last = s.alphaAt(0)
		}
		timesteps, notes := s.distilledTimesteps(o)
		v := s.newAlphaSpace(timesteps, last, o.BatchSize)
		p, err := s.alphaPlan(timesteps, &v)
		if err != nil {
			return nil, nil, err
		}
		p.notes = notes
		return p, solve(s, timesteps, v), nil
	}
}

// distilledTimesteps picks n timesteps of those that a consistency model was distilled on: every
// (train/original)-th one, counted from the noisy end (arXiv:2310.04378). More steps than
// original_inference_steps cannot be picked; as many are used as are asked for, and a note says so.
func (s *sched) distilledTimesteps(o *RunOptions) (timesteps []float64, notes []string) {
	if o.Timesteps != nil {
		return truncate(append([]float64(nil), o.Timesteps...)), nil
	}
	n, original := o.NumInferenceSteps, val(s.cfg.OriginalInferSteps)
	if n > original {
		notes = append(notes, "original_inference_steps "+strconv.Itoa(original)+" holds fewer than the "+strconv.Itoa(n)+
			" steps asked for: "+strconv.Itoa(n)+" is used")
		original = n
	}
	ratio := val(s.cfg.NumTrainTimesteps) / original
	step := float64(original) / float64(n)
	for i := range n {
		index := int(math.Floor(float64(i) * step))
		timesteps = append(timesteps, float64((original-index)*ratio-1))
	}
	return timesteps, notes
}

// checkOriginalSteps is the check of schedulers for distilled models.
func checkOriginalSteps(a *algorithm, c *Config) error {
	if o, train := val(c.OriginalInferSteps), val(c.NumTrainTimesteps); o > train {
		return a.bad("original_inference_steps", strconv.Itoa(o), "it must not be above num_train_timesteps ("+strconv.Itoa(train)+")")
	}
	return nil
}
