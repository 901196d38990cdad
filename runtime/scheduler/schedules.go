package scheduler

import (
	"math"
	"strconv"
	"sync"

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

// schedules holds the noise levels of each table. Align Your Steps has ten steps as published by the paper's
// authors for SDXL (research.nvidia.com, "how to"; diffusers has them rounded to three places as AysSchedules). GITS
// has 2 to 20 steps, from zju-pi/diff-sampler (gits-main).
var schedules = sync.OnceValue(func() map[Schedule][][]float64 { return embedded[map[Schedule][][]float64]("schedules.json") })

// ScheduleSigmas returns the noise levels of a table for n steps: n+1 values, the last 0. Step counts that the table
// does not have are interpolated linearly in the logarithm, as the authors of both papers advise.
func ScheduleSigmas(s Schedule, n int) ([]float64, error) {
	if n < 1 || n > maxInferenceSteps {
		return nil, &OptionError{Option: "num_inference_steps", Found: strconv.Itoa(n),
			Want: "it must be in [1, " + strconv.Itoa(maxInferenceSteps) + "]"}
	}
	tables := schedules()[s]
	if tables == nil {
		return nil, &OptionError{Option: "schedule", Found: `"` + words.Clip(string(s)) + `"`, Want: `it must be "ays" or "gits"`}
	}
	table := tables[len(tables)-1]
	for _, t := range tables {
		if len(t) == n+1 {
			table = t
		}
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
	bad := func(want string) error { return s.algo.bad("schedule", `"`+words.Clip(string(o.Schedule))+`"`, want) }
	if o.Timesteps != nil || o.Sigmas != nil || o.NumInferenceSteps == 0 {
		return bad("it needs num_inference_steps, and no timesteps or sigmas beside it")
	}
	if s.algo.Untrained || !s.algo.Sigmas && !s.algo.Timesteps {
		return bad("this scheduler takes neither custom sigmas nor custom timesteps: leave it out")
	}
	sigmas, err := ScheduleSigmas(o.Schedule, o.NumInferenceSteps)
	if err != nil {
		return err
	}
	o.NumInferenceSteps = 0
	if s.algo.Sigmas {
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
