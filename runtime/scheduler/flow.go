package scheduler

import (
	"math"
	"slices"
)

// The noise schedule of flow matching (rectified flow, arXiv:2209.03003): a sample is (1-s)*x0 + s*noise with the noise
// level s in (0, 1), and the model sees the timestep s*num_train_timesteps, its fraction dropped as in diffusers.

// flowEpsilon keeps UniPC's first level below 1, where nothing of the picture is left and log(1-s) is infinite.
const flowEpsilon = 1e-6

// flowLevels returns n descending levels of the DPM-Solvers, DEIS and SASolver: evenly spaced from 1 - 1/train on, shifted
// towards noise by flow_shift (arXiv:2403.03206, section 5.3.2).
func flowLevels(c *Config, n int) []float64 {
	out := linspace(1, 1/float64(val(c.NumTrainTimesteps)), n+1)
	each(out, func(a float64) float64 { return shiftFlow(1-a, val(c.FlowShift)) })
	slices.Reverse(out)
	return out[:n]
}

// uniPCFlowLevels returns n descending levels of UniPC: evenly spaced from 1 on, shifted, and with shift_terminal
// stretched so that the last is that.
func uniPCFlowLevels(c *Config, n int) []float64 {
	out := linspace(1, 1/float64(val(c.NumTrainTimesteps)), n+1)[:n]
	each(out, func(s float64) float64 { return shiftFlow(s, val(c.FlowShift)) })
	if c.ShiftTerminal != nil {
		scale := (1 - out[n-1]) / (1 - *c.ShiftTerminal)
		each(out, func(s float64) float64 { return 1 - (1-s)/scale })
	}
	if math.Abs(out[0]-1) < flowEpsilon {
		out[0] -= flowEpsilon
	}
	return out
}

func shiftFlow(s, shift float64) float64 { return float64(shift*s) / (1 + float64((shift-1)*s)) }

// flowSchedule computes the timesteps and levels (one more) of a run under use_flow_sigmas.
func (s *sched) flowSchedule(n int, final finalLevel) (timesteps, sigmas []float64, err error) {
	c := &s.cfg
	switch {
	case val(c.UseKarrasSigmas): // of UniPC only, see checkFlow
		sigmas, _ = spacedSigmas(c, s.trainedSpan(), n)
		each(sigmas, func(v float64) float64 { return v / (v + 1) })
	case s.algo.FlowFromOne:
		if c.ShiftTerminal != nil && n == 1 {
			return nil, nil, s.algo.bad("shift_terminal", "set for one step",
				"it stretches the levels between the first and the last: take two steps or more, or leave it out")
		}
		sigmas = uniPCFlowLevels(c, n)
	default:
		sigmas = flowLevels(c, n)
	}
	train := float64(val(c.NumTrainTimesteps))
	timesteps = each(slices.Clone(sigmas), func(v float64) float64 { return math.Trunc(v * train) })
	return timesteps, s.withFinal(sigmas, final), nil
}

// checkFlow refuses what has no meaning: the prediction of a flow without its noise levels, the prediction of noise
// from it by those solvers that have no formula, and spacings of variance-exploding levels, which diffusers would
// take for flow levels.
func (a *algorithm) checkFlow(c *Config) error {
	on, predicts := val(c.UseFlowSigmas), c.PredictionType == "flow_prediction"
	kind := dpmKind(c.AlgorithmType)
	switch {
	case predicts && !on:
		return a.bad("prediction_type", `"flow_prediction"`, "it needs use_flow_sigmas")
	case predicts && (kind.ofNoise() || c.AlgorithmType == "noise_prediction"):
		return a.bad("algorithm_type", `"`+c.AlgorithmType+`"`, "with prediction_type flow_prediction it must be one "+
			"that predicts the picture: dpmsolver++, sde-dpmsolver++ or data_prediction")
	case predicts && c.PredictX0 != nil && !*c.PredictX0:
		return a.bad("predict_x0", "false", "prediction_type flow_prediction needs true")
	case c.ShiftTerminal != nil && !on:
		return a.bad("shift_terminal", "set", "it needs use_flow_sigmas")
	case !on:
		return nil
	}
	if name := c.firstOn(spacings...); name != "" && !(a.FlowFromOne && name == "use_karras_sigmas") {
		return a.bad(name, "true", "use_flow_sigmas has its own spacing: use one of the two")
	}
	return nil
}

// trainedSpan is the highest and the lowest of training's noise levels.
func (s *sched) trainedSpan() []float64 {
	return []float64{float64(s.sigmas[len(s.sigmas)-1]), float64(s.sigmas[0])}
}
