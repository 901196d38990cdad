package scheduler

import (
	"math"

	"github.com/daguerre-go/daguerre/internal/words"
)

// Schedule names a table of optimised noise levels for RunOptions.
type Schedule string

// The tables. Both were computed for models with Stable Diffusion's training schedule, whose noise levels run from
// 0.0292 to 14.6146; SDXL's is the same.
const (
	// ScheduleAYS is Align Your Steps (arXiv:2404.14507), for SDXL.
	ScheduleAYS Schedule = "ays"
	// ScheduleGITS is Geometry-Inspired Time Scheduling (arXiv:2405.11326) with coefficient 1.20.
	ScheduleGITS Schedule = "gits"
)

// Schedules lists every Schedule.
var Schedules = []Schedule{ScheduleAYS, ScheduleGITS}

// aysSDXL are the ten-step noise levels for SDXL published by the paper's authors (research.nvidia.com, Align
// Your Steps, "how to"); diffusers has them rounded to three places as AysSchedules.
var aysSDXL = []float64{14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141,
	0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582}

// AYSTimestepsSDXL returns the same table in training timesteps, as diffusers lists it (StableDiffusionXLTimesteps).
func AYSTimestepsSDXL() []float64 {
	return []float64{999, 845, 730, 587, 443, 310, 193, 116, 53, 13}
}

// gits are the noise levels of zju-pi/diff-sampler (gits-main) for 2 to 20 steps, coefficient 1.20.
var gits = [][]float64{
	{14.61464119, 0.803307, 0.02916753},
	{14.61464119, 1.56271636, 0.52423614, 0.02916753},
	{14.61464119, 2.36326075, 0.92192322, 0.36617002, 0.02916753},
	{14.61464119, 2.84484982, 1.24153244, 0.59516323, 0.25053367, 0.02916753},
	{14.61464119, 5.85520077, 2.05039096, 0.95350921, 0.45573691, 0.17026083, 0.02916753},
	{14.61464119, 5.85520077, 2.45070267, 1.24153244, 0.64427125, 0.29807833, 0.09824532, 0.02916753},
	{14.61464119, 5.85520077, 2.45070267, 1.36964464, 0.803307, 0.45573691, 0.25053367, 0.09824532, 0.02916753},
	{14.61464119, 5.85520077, 2.84484982, 1.61558151, 0.95350921, 0.59516323, 0.36617002, 0.19894916, 0.09824532, 0.02916753},
	{14.61464119, 5.85520077, 2.84484982, 1.67050016, 1.08895338, 0.74807048, 0.50118381, 0.32104823, 0.19894916, 0.09824532, 0.02916753},
	{14.61464119, 5.85520077, 2.95596409, 1.84880662, 1.24153244, 0.83188516, 0.59516323, 0.41087446, 0.27464288, 0.17026083, 0.09824532, 0.02916753},
	{14.61464119, 5.85520077, 3.07277966, 1.98035145, 1.36964464, 0.95350921, 0.69515091, 0.50118381, 0.36617002, 0.25053367, 0.17026083, 0.09824532, 0.02916753},
	{14.61464119, 6.77309084, 3.46139455, 2.36326075, 1.56271636, 1.08895338, 0.803307, 0.59516323, 0.45573691, 0.34370604, 0.25053367, 0.17026083, 0.09824532, 0.02916753},
	{14.61464119, 6.77309084, 3.46139455, 2.45070267, 1.61558151, 1.162866, 0.86115354, 0.64427125, 0.50118381, 0.38853383, 0.29807833, 0.22545385, 0.17026083, 0.09824532, 0.02916753},
	{14.61464119, 7.49001646, 4.65472794, 3.07277966, 2.12350607, 1.51179266, 1.08895338, 0.83188516, 0.64427125, 0.50118381, 0.38853383, 0.29807833, 0.22545385, 0.17026083, 0.09824532, 0.02916753},
	{14.61464119, 7.49001646, 4.65472794, 3.07277966, 2.12350607, 1.51179266, 1.08895338, 0.83188516, 0.64427125, 0.50118381, 0.41087446, 0.32104823, 0.25053367, 0.19894916, 0.13792117, 0.09824532, 0.02916753},
	{14.61464119, 7.49001646, 4.65472794, 3.07277966, 2.12350607, 1.51179266, 1.08895338, 0.83188516, 0.64427125, 0.50118381, 0.41087446, 0.34370604, 0.27464288, 0.22545385, 0.17026083, 0.13792117, 0.09824532, 0.02916753},
	{14.61464119, 7.49001646, 4.65472794, 3.07277966, 2.19988537, 1.61558151, 1.20157266, 0.92192322, 0.72133851, 0.57119018, 0.45573691, 0.36617002, 0.29807833, 0.25053367, 0.19894916, 0.17026083, 0.13792117, 0.09824532, 0.02916753},
	{14.61464119, 7.49001646, 4.65472794, 3.07277966, 2.19988537, 1.61558151, 1.24153244, 0.95350921, 0.74807048, 0.59516323, 0.4783645, 0.38853383, 0.32104823, 0.27464288, 0.22545385, 0.19894916, 0.17026083, 0.13792117, 0.09824532, 0.02916753},
	{14.61464119, 7.49001646, 4.65472794, 3.07277966, 2.19988537, 1.61558151, 1.24153244, 0.95350921, 0.74807048, 0.59516323, 0.50118381, 0.41087446, 0.34370604, 0.29807833, 0.25053367, 0.22545385, 0.19894916, 0.17026083, 0.13792117, 0.09824532, 0.02916753},
}

// ScheduleSigmas returns the noise levels of a table for n steps: n+1 values, the last 0. Step counts that the table
// does not have are interpolated linearly in the logarithm, as the authors of both papers advise.
func ScheduleSigmas(s Schedule, n int) ([]float64, error) {
	if n < 1 || n > maxInferenceSteps {
		return nil, &OptionError{Option: "num_inference_steps", Found: numText(n), Want: "it must be in [1, " + numText(maxInferenceSteps) + "]"}
	}
	var table []float64
	switch s {
	case ScheduleAYS:
		table = aysSDXL
	case ScheduleGITS:
		table = gits[len(gits)-1]
		if n >= 2 && n-2 < len(gits) {
			table = gits[n-2]
		}
	default:
		return nil, &OptionError{Option: "schedule", Found: `"` + words.Clip(string(s)) + `"`, Want: `it must be "ays" or "gits"`}
	}
	out := make([]float64, n+1)
	for i := range n {
		x := float64(i) * float64(len(table)-1) / float64(n)
		k := min(int(x), len(table)-2)
		w := x - float64(k)
		out[i] = math.Exp((1-w)*math.Log(table[k]) + w*math.Log(table[k+1]))
		if w == 0 {
			out[i] = table[k]
		}
	}
	return out, nil
}

// applySchedule replaces a table's name in the options by its noise levels, or, for schedulers that take custom timesteps
// only, by the timesteps next to those levels.
func (s *sched) applySchedule(o *RunOptions) error {
	if o.Schedule == "" {
		return nil
	}
	if o.Timesteps != nil || o.Sigmas != nil || o.NumInferenceSteps == 0 {
		return s.algo.bad("schedule", `"`+words.Clip(string(o.Schedule))+`"`, "it needs num_inference_steps, and no timesteps or sigmas beside it")
	}
	if s.algo.untrained || !s.algo.customSigmas && !s.algo.customTimesteps {
		return s.algo.bad("schedule", `"`+words.Clip(string(o.Schedule))+`"`, "this scheduler takes neither custom sigmas nor custom timesteps: leave it out")
	}
	sigmas, err := ScheduleSigmas(o.Schedule, o.NumInferenceSteps)
	if err != nil {
		return err
	}
	o.NumInferenceSteps = 0
	if s.algo.customSigmas {
		o.Sigmas = sigmas
		return nil
	}
	top := float64(len(s.sigmas))
	for _, v := range sigmas[:len(sigmas)-1] {
		// whole and strictly descending: with many steps, neighbours can fall on one timestep
		if t := math.RoundToEven(sigmaToT(v, s.logSigmas)); t < top {
			o.Timesteps = append(o.Timesteps, t)
			top = t
		}
	}
	return nil
}
